"""Hooks of schemathesis: what requests need that no document can say, and which refusals of documented requests are right."""

import base64
import hashlib
import hmac
import os
import re
import time

import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection

SECRET = os.environ["WEBHOOK_SECRET"]

# Codes of refusals that depend on the data of the service, or on what JSON Schema of OpenAPI 3.0 cannot state. Any other refusal of a
# request that fits the document is a mistake of one of the two.
BYTES = "a limit is one of bytes, which the document has as one of characters"
RULES = {
    "buyer_mismatch": "the buyer is that of the header",
    "buyer_required": "a product with a limit per buyer is held by a buyer",
    "endpoint_url_not_allowed": "a URL has no user and no fragment, and is not longer once it is escaped",
    "event_currency": "all ticket types of an event have one currency",
    "idempotency_key_reuse": "a key is not used for two requests",
    "invalid_change": "a hold has what remains of it",
    "invalid_charge": BYTES,
    "invalid_client_name": "two names are taken",
    "invalid_cursor": "a cursor is one that a page has returned",
    "invalid_event": "times are in order and in the years 1970 to 9998",
    "invalid_if_match": "the header is `*` or a list of entity tags",
    "invalid_items": "the lines of a hold go together",
    "invalid_lines": "as `invalid_product`, for each line, and each has another sku",
    "invalid_metadata": "names of texts have 1 to 40 characters, and there is a limit for all of them",
    "invalid_product": "times are in order, currencies known, the sku is that of the path",
    "invalid_provider": "`provider` is allowed only together with `charge`",
    "invalid_public_key": "the text is a key",
    "invalid_quantity": "a product has a limit of its own, and so has the shop",
    "invalid_seats": "names have no white space at their ends, and there is a limit for all rows",
    "invalid_time": "of two times, the first is earlier; both are in the years 1970 to 9998",
    "invalid_types": "`types` is a text with names between commas",
    "mixed_currencies": "the products of a hold have one currency",
    "not_a_storefront": "the client has this role",
    "not_seated": "the ticket type has seats",
    "order_reference_mismatch": "both names of the order are the same",
    "order_reference_required": "an event names its order or its hold",
    "precondition_failed": "the tag is that of the product as it is",
    "seat_not_found": "the ticket type has the seat",
    "seats_required": "a seated ticket type is held by its seats",
    "stock_is_seats": "the stock of a seated ticket type is the number of its seats",
    "stock_not_here": "stock is changed by another operation",
}
# Of these codes, the refusals whose text has one of these words: their other rules are in the document.
TIMES = "years 1970 to 9998|must be after `sale_starts_at`|RFC 3339"
PRODUCTS = TIMES + "|ISO 4217|cannot be changed|`metadata`|`stock` must be (given|at most)|`stock` is the number of|The stock of a product is changed by"
WORDS = {
    # in sequences, the id of an event of the feed, a text, is taken for that of an event with seats, which has the same name
    "invalid_id": "must be a whole number",
    "invalid_event": TIMES,
    "invalid_product": PRODUCTS + "|`sku` must be that of the path",
    "invalid_lines": PRODUCTS + "|`sku` must (be given|not be that of an earlier line)",
}
# The same for the code `invalid_body`: limits of bytes, which the document has as limits of characters, and fields that go together.
FIELDS = "must have (at most|1 to) [0-9]+ bytes|[Ee]ither|`from` must be 1 or more|`split` is for lines"


@schemathesis.hook
def before_call(context, case, kwargs):
    """Keeps pushes on this machine, shortens waits, and signs events."""
    if isinstance(case.body, dict) and isinstance(case.body.get("url"), str):
        # an endpoint that exists is pushed to: let it be a port of this machine where nothing listens
        case.body["url"] = re.sub(r"^(https?://)[^/?#]*", r"\g<1>127.0.0.1:9", case.body["url"], flags=re.IGNORECASE)
    wait = (case.query or {}).get("wait")
    if str(wait).isdigit() and 1 < int(wait) <= 30:
        case.query["wait"] = 1
    if case.path.startswith("/api/payments/webhook"):
        kwargs["auth"] = sign_stripe if case.path.endswith("/stripe") else sign_standard


def digest(key, signed):
    return hmac.new(key, signed, hashlib.sha256)


def body_of(request):
    body = request.body or b""
    return body.encode() if isinstance(body, str) else body


def sign_standard(request):
    now, key = str(int(time.time())), base64.b64decode(SECRET.removeprefix("whsec_"))
    event = hashlib.sha256(body_of(request)).hexdigest()
    signature = digest(key, f"{event}.{now}.".encode() + body_of(request)).digest()
    request.headers["webhook-id"] = event
    request.headers["webhook-timestamp"] = now
    request.headers["webhook-signature"] = "v1," + base64.b64encode(signature).decode()
    return request


def sign_stripe(request):
    now = str(int(time.time()))
    signature = digest(SECRET.encode(), f"{now}.".encode() + body_of(request)).hexdigest()
    request.headers["Stripe-Signature"] = f"t={now},v1={signature}"
    return request


@schemathesis.check
def refused_for_a_known_reason(context, response, case):
    """Refusals of requests that fit the document have one of the codes above."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or response.status_code not in (400, 412, 422):
        return
    problem = response.json()
    code, texts = problem.get("code"), [problem.get("detail", "")]
    if code == "invalid_lines":
        texts = [line["detail"] for line in problem["lines"]]
    words = FIELDS if code == "invalid_body" else WORDS.get(code, "")
    is_known = code in {*RULES, *WORDS, "invalid_body"}
    assert is_known and all(re.search(words, text) for text in texts), (
        f"{case.operation.label}: a request that fits the document was refused with `{code}`: {texts}"
    )


@schemathesis.check
def wrong_data_rejected(context, response, case):
    """Does what `negative_data_rejection` does, but for one operation."""
    # an event of a type without a meaning here is answered 200 whatever else it has, so that Stripe does not send it again
    is_stripe = case.operation.definition.raw.get("operationId") == "receiveStripeEvent"
    # 412 refuses a request, too
    if not is_stripe and response.status_code != 412:
        negative_data_rejection(context, response, case)
