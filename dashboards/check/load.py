"""A sale in which everything happens that dashboards show of a healthy service: buyers, payments, guests, wrong tokens."""

from __future__ import annotations

import base64
import hmac
import json
import random
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .service import SECRET, TOKEN, Client

KEY = base64.b64decode(SECRET.removeprefix("whsec_"))
THREADS, PAUSE = 4, 0.1  # flows at a time, and seconds between those of one thread


def pay(client, order_id, status="paid", event_id=None, **fields):
    """Reports a payment as a provider does. Returns the status and the answer."""
    event_id, at = event_id or f"event-{uuid.uuid4()}", int(time.time())
    told = {"order_id": order_id, "status": status, "txn_id": f"charge-{order_id}", **fields}
    body = json.dumps({name: value for name, value in told.items() if value is not None}).encode()
    signature = base64.b64encode(hmac.digest(KEY, f"{event_id}.{at}.".encode() + body, "sha256")).decode()
    headers = {"webhook_id": event_id, "webhook_timestamp": str(at), "webhook_signature": f"v1,{signature}"}
    return client.request("POST", "/api/payments/webhook", body, **headers)


class Receiver:
    """A shop that accepts pushes."""

    def __init__(self):
        class Push(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Push)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Sale:
    """Products, an event with seats, and buyers at all instances."""

    def __init__(self, instances):
        self.instances, self.is_over, self.threads = instances, threading.Event(), []

    def open(self):
        client = Client(self.instances[0])
        operate = lambda path, body: client.operate("POST", path, body, idempotency_key=str(uuid.uuid4()))
        product = lambda name, stock: operate(
            "/api/admin/products", {"name": name, "price_minor": 2500, "currency": "EUR", "stock": stock}
        )["id"]
        self.products = [product(f"Record {number}", 1_000_000) for number in range(1, 5)]
        self.rare = product("Signed record", 1)
        self.organizer = operate("/api/admin/organizers", {"name": "City Concerts"})["id"]
        self.event, self.places, self.seats = self.hold_event("Spring Concert")
        self.receiver = Receiver()
        operate("/api/admin/endpoints", {"url": self.receiver.url})

    def hold_event(self, name):
        """Makes an event with places and seats. Returns the three ids."""
        client = Client(self.instances[0])
        operate = lambda path, body: client.operate("POST", path, body, idempotency_key=str(uuid.uuid4()))
        event = {"organizer_id": self.organizer, "name": name, "venue": "City Hall", "starts_at": "2090-05-01T18:00:00Z"}
        event = operate("/api/admin/events", event)["id"]
        types = f"/api/admin/events/{event}/ticket-types"
        price = {"price_minor": 3900, "currency": "EUR"}
        places = operate(types, {"name": "Standing", "kind": "admission", "stock": 1_000_000, **price})["id"]
        seats = operate(types, {"name": "Stalls", "kind": "seated", **price})["id"]
        rows = [{"name": str(row), "seats": 100, "rank": row} for row in range(1, 51)]
        operate(f"/api/admin/ticket-types/{seats}/seats", {"sections": [{"name": "A", "rows": rows}]})
        return event, places, seats

    def cancel_event(self):
        """Cancels an event with a hold and a paid order."""
        client = Client(self.instances[0])
        event, places, _ = self.hold_event("Cancelled Concert")
        hold = lambda: client.request("POST", "/api/holds", {"product_id": places, "qty": 1})[1]["hold_id"]
        pay(client, client.request("POST", "/api/orders", {"hold_id": hold()})[1]["order_id"])
        hold()
        cancel = f"/api/admin/events/{event}/cancel"
        due = client.operate("POST", cancel, {"dry_run": True})["amount_due_minor"]
        client.operate("POST", cancel, {"confirm_amount_minor": due})

    def begin(self):
        self.threads = [
            threading.Thread(target=self.buy, args=(number, self.instances[number % len(self.instances)]), daemon=True)
            for number in range(THREADS)
        ]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def buy(self, number, instance):
        client, draw = Client(instance), random.Random(number)
        while not self.is_over.wait(PAUSE * draw.random() * 2):
            flow = draw.choices([self.single, self.cart, self.tickets, self.reads, self.refusals], [8, 2, 3, 3, 1])[0]
            flow(client, draw)

    def single(self, client, draw):
        self.finish(client, draw, {"product_id": draw.choice(self.products), "qty": draw.randint(1, 3)})

    def cart(self, client, draw):
        items = [{"product_id": product_id, "qty": 1} for product_id in draw.sample(self.products, 2)]
        self.finish(client, draw, {"items": items})

    def tickets(self, client, draw):
        wanted = draw.choice([{"product_id": self.places, "qty": 1}, {"product_id": self.seats, "qty": 2, "best_available": True}])
        order_id = self.finish(client, draw, {"items": [wanted]})
        _, tickets = client.request("GET", f"/api/orders/{order_id}/tickets") if order_id else (0, None)
        for ticket in (tickets or {}).get("items", [])[:1]:
            headers = {"authorization": f"Bearer {TOKEN}", "idempotency_key": str(uuid.uuid4())}
            client.request("POST", f"/api/tickets/{ticket['code']}/redeem", {"gate": "north"}, **headers)

    def finish(self, client, draw, wanted):
        """Goes on with a hold as buyers do. Returns the id of the order, if it was paid."""
        key, chance = str(uuid.uuid4()), draw.random()
        status, hold = client.request("POST", "/api/holds", wanted, idempotency_key=key)
        if status != 201 or chance < 0.05:  # what is left behind expires
            return None
        if chance < 0.15:
            client.request("POST", "/api/holds", wanted, idempotency_key=key)
            client.request("DELETE", f"/api/holds/{hold['hold_id']}")
            return None
        if chance > 0.97:  # its payment is faster than its order
            pay(client, None, hold_id=hold["hold_id"], txn_id=f"charge-{key}")
        status, order = client.request("POST", "/api/orders", {"hold_id": hold["hold_id"]}, idempotency_key=key)
        if status != 201 or chance < 0.2:
            return None
        order_id = order["order_id"]
        if chance < 0.3:
            client.request("POST", f"/api/orders/{order_id}/cancel")
            return None
        if chance < 0.35:
            pay(client, order_id, "failed")
            return None
        event_id = f"event-{uuid.uuid4()}"
        for _ in range(2 if chance < 0.45 else 0 if chance > 0.97 else 1):
            pay(client, order_id, event_id=event_id)
        if chance > 0.97:
            pay(client, order_id, "refunded", txn_id=f"charge-{key}")
        return order_id

    def reads(self, client, draw):
        client.request("GET", f"/api/products/{draw.choice(self.products)}")
        client.request("GET", "/api/products?limit=20")
        client.request("GET", f"/api/events/{self.event}")
        client.request("GET", f"/api/events/{self.event}/seats")
        client.request("GET", "/api/feed?limit=10", authorization=f"Bearer {TOKEN}")

    def refusals(self, client, draw):
        client.request("POST", "/api/holds", {"product_id": self.rare, "qty": 2})
        client.request("POST", "/api/holds", {"product_id": self.rare, "qty": 1}, authorization="Bearer wrong")
        client.request("GET", "/api/admin/refunds")
        for _ in range(3):
            client.request("POST", "/api/payments/webhook", {"order_id": str(uuid.uuid4()), "status": "paid"})
