"""What a shop needs to talk to Holdfast: requests that are safe to repeat, and verified pushes. Made to be copied.

It needs Python 3.9 or later and no package. docs/integrate.md gives the reasons.
"""
import base64, hmac, http.client, json, random, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode, urlsplit


class Refused(Exception):
    """A refusal: the same request gets it again. Programs act on `code`, people read the text."""

    def __init__(self, request, status, problem):
        super().__init__(f"{request}: {status} {problem.get('code')}: {problem.get('detail')}")
        self.code = problem.get("code")


class Unanswered(Exception):
    """No answer after all attempts. The request may have taken effect: send the same one again, later."""


def call(service, method, path, body=None, token=None, headers={}, timeout=10, attempts=6):
    """Sends a request until it is answered, each time with the same bytes and the same key, and returns the answer."""
    url, request = urlsplit(service), f"{method} {path.partition('?')[0]}"
    protocol = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", "connection": "close", **headers}
    if token:
        headers["authorization"] = f"Bearer {token}"
    for attempt in range(attempts):
        pause = 2**attempt
        try:
            connection = protocol(url.netloc, timeout=timeout)
            connection.request(method, url.path.rstrip("/") + path, data, headers)
            answer = connection.getresponse()
            content = json.loads(answer.read())
            if answer.status < 300:
                return content
            problem = content if isinstance(content, dict) else {}
            if answer.status < 500 and answer.status not in (408, 429):
                raise Refused(request, answer.status, problem)
            why = f"{answer.status} {problem.get('code')}: {problem.get('detail')}"
            pause = int(answer.getheader("retry-after", pause))
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"no answer ({error!r})"  # no failure: the request may have taken effect
        if attempt + 1 < attempts:
            time.sleep(min(pause, 30) + random.random())
    raise Unanswered(f"{request}: {attempts} attempts, the last one: {why}")


def read_feed(service, token, types, cursor):
    """Returns the events behind the cursor, the oldest first, and the next cursor. Waits up to 20 s for an event."""
    query = {"types": ",".join(types), "wait": 20, **({"after": cursor} if cursor else {})}
    try:
        page = call(service, "GET", f"/api/feed?{urlencode(query)}", token=token, timeout=40)
    except Refused as refusal:
        if refusal.code != "cursor_reset":
            raise
        return [], None  # the database was restored: read from the beginning, where known ids change nothing
    return page["items"], page["next"]


def key_of(secret):
    """Returns the key in a secret `whsec_…`."""
    try:
        return base64.b64decode(secret[secret.index("whsec_") + 6 :], validate=True)
    except ValueError:
        raise ValueError("a secret must be whsec_ and base64") from None


def sign(key, message_id, at, body):
    """Returns the signature of Standard Webhooks over these bytes."""
    return "v1," + base64.b64encode(hmac.digest(key, f"{message_id}.{at}.".encode() + body, "sha256")).decode()


def is_genuine(key, headers, body):
    """Says whether these bytes were signed with the key, at most five minutes ago."""
    message_id, at, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    own = sign(key, message_id, at, body).encode()
    is_fresh = at.isdecimal() and len(at) < 12 and abs(time.time() - int(at)) <= 300
    return is_fresh and any([hmac.compare_digest(own, each.encode()) for each in signatures.split(" ")])


def receive_pushes(address, secret, store):
    """Receives pushes on other threads: `store` gets the id and the event of each, `None` if it is not genuine."""
    key = key_of(secret)

    class Push(BaseHTTPRequestHandler):
        timeout = 10  # seconds without a byte

        def do_POST(self):
            length = self.headers.get("content-length", "")
            body = self.rfile.read(int(length)) if length.isdecimal() and len(length) < 7 else b""
            genuine = is_genuine(key, self.headers, body)
            store((self.headers.get("webhook-id", ""), json.loads(body) if genuine else None))
            self.send_response(204 if genuine else 401)  # 2xx once the event is stored; the work follows later
            self.end_headers()

        def log_message(self, *_):
            """Writes no line for each request."""

    host, port = address.rsplit(":", 1)
    threading.Thread(target=ThreadingHTTPServer((host, int(port)), Push).serve_forever, daemon=True).start()
