"""Makes a sale with the client that openapi-python-client has generated: sale.py URL."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from typing import TypeVar
from uuid import UUID

import httpx
from holdfast_client import AuthenticatedClient
from holdfast_client.api.holds import create_hold, get_hold
from holdfast_client.api.operators import create_client
from holdfast_client.api.orders import create_order, get_order, list_order_events
from holdfast_client.api.payments import receive_payment_event
from holdfast_client.api.products import list_products
from holdfast_client.models.client import Client
from holdfast_client.models.create_client import CreateClient
from holdfast_client.models.create_client_role import CreateClientRole
from holdfast_client.models.create_hold import CreateHold
from holdfast_client.models.create_order import CreateOrder
from holdfast_client.models.hold import Hold
from holdfast_client.models.hold_status import HoldStatus
from holdfast_client.models.order import Order
from holdfast_client.models.order_events import OrderEvents
from holdfast_client.models.order_status import OrderStatus
from holdfast_client.models.payment_event import PaymentEvent
from holdfast_client.models.payment_event_status import PaymentEventStatus
from holdfast_client.models.payment_receipt import PaymentReceipt
from holdfast_client.models.problem import Problem
from holdfast_client.models.product_page import ProductPage

T = TypeVar("T")


def expect(kind: type[T], answer: object) -> T:
    """Narrows an answer to the type of a success."""
    if not isinstance(answer, kind):
        sys.exit(f"expected {kind.__name__}, not {answer}")
    return answer


def signed(request: httpx.Request) -> None:
    """Signs a payment event, as its provider does."""
    if request.url.path != "/api/payments/webhook":
        return
    event, now = "event-of-the-sale", str(int(time.time()))
    key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    signature = hmac.digest(key, f"{event}.{now}.".encode() + request.content, hashlib.sha256)
    request.headers["webhook-id"] = event
    request.headers["webhook-timestamp"] = now
    request.headers["webhook-signature"] = "v1," + base64.b64encode(signature).decode()


def main(url: str) -> None:
    def caller(token: str) -> AuthenticatedClient:
        return AuthenticatedClient(base_url=url, token=token, httpx_args={"event_hooks": {"request": [signed]}})

    shop = CreateClient(name="shop-in-python", role=CreateClientRole.STOREFRONT)
    added = expect(Client, create_client.sync(client=caller(os.environ["ADMIN_TOKEN"]), body=shop))
    client = caller(expect(str, added.token))

    page = expect(ProductPage, list_products.sync(client=client, limit=100))
    product = next(product for product in page.items if product.available_stock > 1 and product.price_minor > 0)

    asked = CreateHold(product_id=product.id, qty=2)
    hold = expect(Hold, create_hold.sync(client=client, body=asked, idempotency_key="sale-in-python"))
    assert (hold.status, [item.qty for item in hold.items]) == (HoldStatus.ACTIVE, [2])

    order = expect(Order, create_order.sync(client=client, body=CreateOrder(hold_id=hold.hold_id)))
    assert (order.status, order.total_minor) == (OrderStatus.PENDING, 2 * product.price_minor)

    amount = f"{order.total_minor // 100}.{order.total_minor % 100:02}"
    paid = PaymentEvent(
        status=PaymentEventStatus.PAID,
        order_id=order.order_id,
        amount=amount,
        currency=order.currency,
        txn_id="sale-in-python",
    )
    receipt = expect(PaymentReceipt, receive_payment_event.sync(client=client, body=paid))

    order = expect(Order, get_order.sync(client=client, order_id=order.order_id))
    assert order.status is OrderStatus.PAID, order
    assert expect(Hold, get_hold.sync(client=client, hold_id=hold.hold_id)).order_id == order.order_id
    trail = expect(OrderEvents, list_order_events.sync(client=client, order_id=order.order_id))

    missing = expect(Problem, get_order.sync(client=client, order_id=UUID(int=0)))
    assert (missing.status, missing.code) == (404, "order_not_found")
    print(json.dumps({"client": "Python", "order": order.to_dict(), "event": receipt.to_dict(), "changes": len(trail.items)}))


main(sys.argv[1])
