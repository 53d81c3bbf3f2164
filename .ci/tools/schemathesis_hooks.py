"""Hooks of schemathesis: what requests need that no document can say, and which refusals of documented requests are right."""

import base64
import hashlib
import hmac
import os
import re
import time
from urllib.parse import urlsplit

import schemathesis

SECRET = os.environ["WEBHOOK_SECRET"]

# Codes of refusals that depend on what JSON Schema of OpenAPI 3.0 cannot state. Any other refusal of a request that fits the
# document is a mistake of one of the two.
RULES = {
    "invalid_cursor": "a cursor is one that a page has returned",
    "invalid_time": "of two times, the first is earlier; both are in the years 1970 to 9998",
    "invalid_provider": "`provider` is allowed only together with `charge`",
    "invalid_types": "`types` is a text with names between commas",
    "invalid_if_match": "the header is `*` or a list of entity tags",
    "precondition_failed": "the tag is that of the product as it is",
    "buyer_mismatch": "the buyer is that of the header",
    "idempotency_key_reuse": "a key is not used for two requests",
    "invalid_metadata": "names of texts have 1 to 40 characters; there is a limit for all of them",
    "invalid_product": "times are in order; currencies are known; the sku is that of the path",
    "invalid_lines": "the same for each line, and no sku twice",
    "invalid_event": "times are in order and in the years 1970 to 9998",
    "invalid_public_key": "the text is a key",
    "invalid_seats": "names have no white space at their ends; there is a limit for all rows",
    "invalid_id": "the id of a new order has version 7",
    "endpoint_url_not_allowed": "a URL has no user and no fragment, and is not longer once it is escaped",
    "not_a_storefront": "the client has this role",
    "not_seated": "the ticket type has seats",
    "stock_not_here": "stock is changed by another operation",
    "unknown_currency": "currencies are known",
    "order_reference_required": "an event names its order or its hold",
    "order_reference_mismatch": "both names of the order are the same",
}
BYTES = "a limit is one of bytes, which the document has as one of characters"
# The same for the code `invalid_body` of some operations.
BODIES = {
    "createHold": "either a product and a quantity, or lines; either units or seats in each line",
    "changeHold": "either a quantity or lines",
    "changeStock": "either `add` or `set`; " + BYTES,
    "replayPushes": "`to` is not less than `from`",
    "dismissPaymentEvent": BYTES,
    "markRefundDone": BYTES,
    "replayPaymentEvent": BYTES,
    "receivePaymentEvent": BYTES,
}


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
    code = problem.get("code")
    operation = case.operation.definition.raw.get("operationId")
    assert code in RULES or (code == "invalid_body" and operation in BODIES), (
        f"{operation}: a request that fits the document was refused with `{code}`: {problem.get('detail')}"
    )
