"""A small shop: holds a unit, orders it, hears by push and by feed that it is paid, and prints the receipt.

    SHOP_TOKEN=hf_storefront_… PUSH_SECRET=whsec_… PAYMENT_SECRET=whsec_… python3 examples/shop.py

docs/integrate.md tells its story. With OPERATOR_TOKEN, it makes its token and its push secret, as an operator would.
"""
import functools, json, os, queue, sys, time, uuid

import holdfast

SERVICE, LISTEN = os.environ.get("SERVICE_URL", "http://127.0.0.1:8080"), os.environ.get("LISTEN", "127.0.0.1:8090")
PRODUCT_ID = int(os.environ.get("PRODUCT_ID", "1"))
TYPES = ["order.paid", "order.cancelled", "order.refunded"]
call = functools.partial(holdfast.call, SERVICE)
# A real shop has tables in the place of these: pushes to work on, ids of events (a unique key), orders.
pushes, handled, paid = queue.Queue(), set(), {}


def sell(token, payment_secret):
    number = f"R-{uuid.uuid4()}"  # stored before the first request: after a crash, the same keys are sent again
    wanted = {"product_id": PRODUCT_ID, "qty": 1, "reference": number}
    hold = call("POST", "/api/holds", wanted, token, {"idempotency-key": f"hold-{number}"})
    wanted = {"hold_id": hold["hold_id"], "reference": number}
    order = call("POST", "/api/orders", wanted, token, {"idempotency-key": f"order-{number}"})
    pay(order, payment_secret)
    event_id = wait_until_paid(token, order["order_id"])
    order = call("GET", f"/api/orders/{order['order_id']}", token=token)
    print(f"receipt {number}\n  order {order['order_id']}: {order['status']}\n  event {event_id}, by push and by feed")
    for item in order["items"]:
        print(f"  {item['qty']} x product {item['product_id']} at {item['unit_price_minor'] / 100:.2f}")
    print(f"  total {order['total_minor'] / 100:.2f} {order['currency']}")


def pay(order, secret):
    """Plays the payment provider: reports the payment, signed with a secret that a real shop does not have."""
    payment = {"order_id": order["order_id"], "status": "paid", "txn_id": f"charge-{uuid.uuid4()}"}
    event_id, at, body = f"payment-{uuid.uuid4()}", int(time.time()), json.dumps(payment).encode()
    signature = holdfast.sign(holdfast.key_of(secret), event_id, at, body)
    headers = {"webhook-id": event_id, "webhook-timestamp": str(at), "webhook-signature": signature}
    call("POST", "/api/payments/webhook", body, headers=headers)


def wait_until_paid(token, order_id):
    """Waits until a push and the feed have said that the order is paid. Returns the id of the event."""
    ways, refused, cursor, until = paid.setdefault(order_id, {}), set(), None, time.monotonic() + 60
    while len(ways) < 2 and ways.get("feed") not in refused and time.monotonic() < until:
        try:
            event_id, event = pushes.get(timeout=5)
            handle("push", event) if event else refused.add(event_id)
        except queue.Empty:
            pass  # pushes can be late: the feed has everything
        while "feed" not in ways and time.monotonic() < until:
            events, cursor = holdfast.read_feed(SERVICE, token, TYPES, cursor)
            for event in events:
                handle("feed", event)  # a real shop stores the cursor in the same transaction
    if len(ways) < 2 or ways["push"] != ways["feed"]:
        hint = "is PUSH_SECRET that of the endpoint?" if refused else "is the endpoint registered for this client?"
        why = f"{ways}; {len(refused)} pushes refused: {hint}"
        sys.exit(f"shop: order {order_id} is not paid by push and by feed: {why}")
    return ways["push"]


def handle(way, event):
    """Acts on an event once, however often and by whatever way it arrives."""
    order_id = event["data"].get("order_id")
    if event["type"] == "order.paid":
        if event["id"] not in handled:
            print(f"send the goods of order {order_id}", flush=True)
        paid.setdefault(order_id, {})[way] = event["id"]
    # A real shop also acts on order.cancelled (a late order.paid may follow) and on order.refunded.
    handled.add(event["id"])


def register(operator):
    """Plays the operator, once for each shop: makes a client, and an endpoint for the events of its orders."""
    client = call("POST", "/api/admin/clients", {"name": f"shop-{uuid.uuid4()}", "role": "storefront"}, operator)
    wanted = {"url": f"http://{LISTEN}/", "types": TYPES, "client_id": client["id"]}
    return client["token"], call("POST", "/api/admin/endpoints", wanted, operator)


def main(payment_secret=None, token=None, push_secret=None, operator=None):
    if not (payment_secret and (operator or token and push_secret)):
        sys.exit("shop: set PAYMENT_SECRET, and OPERATOR_TOKEN or both SHOP_TOKEN and PUSH_SECRET: docs/integrate.md")
    token, endpoint = register(operator) if operator else (token, {"secret": push_secret})
    try:
        holdfast.receive_pushes(LISTEN, endpoint["secret"], pushes.put)
        sell(token, payment_secret)
    finally:
        if operator:
            call("DELETE", f"/api/admin/endpoints/{endpoint['id']}", token=operator)


if __name__ == "__main__":
    try:
        main(*map(os.environ.get, ("PAYMENT_SECRET", "SHOP_TOKEN", "PUSH_SECRET", "OPERATOR_TOKEN")))
    except (holdfast.Refused, holdfast.Unanswered, OSError, ValueError) as error:
        sys.exit(f"shop: {error}")
