"""What makes each alert fire, and what clears it: faults of a real service and its database."""

from __future__ import annotations

import hmac
import json
import time
import uuid

from .load import pay
from .process import wait_for
from .service import STRIPE_SECRET, Client, Database, Instance

# How long rows stay locked: longer than the alerts of lags need.
LOCKED = 45
# How long the database does not answer.
AWAY = 40
# What an alert may take to fire or to clear, beside the time that its fault takes: five minutes are the window of counters.
PATIENCE = 480


class Faults:
    """The faults of one run. `seen(alerts)` waits until these alerts fire."""

    def __init__(self, database: Database, first: Instance, second: Instance, sale, seen):
        self.database, self.first, self.second, self.sale, self.seen = database, first, second, sale, seen
        self.client = Client(first)

    def begin(self):
        """What needs its time from the start: an endpoint that is down."""
        dead = self.client.operate("POST", "/api/admin/endpoints", {"url": "http://127.0.0.1:9/"})
        self.endpoint = dead["id"]

    def play(self):
        """Plays everything, and mends what can be mended at once."""
        self.money()
        self.audit()
        self.locks()
        self.clock()
        self.log()
        self.away()
        self.down()
        self.seen(["push_late", "inbox_age", "unmatched", "quarantined", "refunds_due", "dead"])

    def mend(self):
        """Does what operators do about what is left."""
        self.client.operate("DELETE", f"/api/admin/endpoints/{self.endpoint}")
        order_id = self.order(self.sale.products[0])
        session = {"object": "checkout.session", "payment_intent": self.intent, "payment_status": "paid", "mode": "payment"}
        money = {"amount_total": 2500, "currency": "eur", "client_reference_id": order_id, "metadata": {}}
        self.stripe("checkout.session.completed", {"id": f"cs_{uuid.uuid4().hex}", "status": "complete", **session, **money})
        self.client.request("POST", "/api/orders", {"hold_id": self.late_hold})
        for state, is_accepted in [("quarantined", True), ("dead", False)]:
            wanted = {"accept_amount": is_accepted, "note": "the amount was agreed" if is_accepted else "its order is there"}
            for event in self.events(state):
                self.client.operate("POST", f"/api/admin/payment-events/{event}/replay", wanted)
        for refund in self.client.operate("GET", "/api/admin/refunds?limit=100")["items"]:
            self.client.operate("POST", f"/api/admin/refunds/{refund['event']['event_id']}/done", {"note": "given back"})

    def events(self, state):
        page = self.client.operate("GET", f"/api/admin/payment-events?state={state}&limit=100")
        return [event["event_id"] for event in page["items"]]

    def hold(self, product_id):
        return self.client.request("POST", "/api/holds", {"product_id": product_id, "qty": 1})[1]["hold_id"]

    def order(self, product_id):
        return self.client.request("POST", "/api/orders", {"hold_id": self.hold(product_id)})[1]["order_id"]

    def money(self):
        """Payments that are not applied: of orders that are missing, of a wrong amount, too late, and of another shop."""
        self.sale.cancel_event()
        pay(self.client, str(uuid.uuid4()))
        self.late_hold = self.hold(self.sale.products[0])
        self.client.request("POST", f"/api/holds/{self.late_hold}/extend", {"seconds": 3000})
        pay(self.client, None, "failed", hold_id=self.late_hold, txn_id=None)
        pay(self.client, self.order(self.sale.products[0]), amount="1.00", currency="EUR")
        first = self.order(self.sale.rare)
        self.client.request("POST", f"/api/orders/{first}/cancel")
        pay(self.client, self.order(self.sale.rare))
        pay(self.client, first)
        self.intent = f"pi_{uuid.uuid4().hex}"
        money = {"amount": 2500, "amount_received": 2500, "currency": "eur", "latest_charge": f"ch_{uuid.uuid4().hex}"}
        intent = {"id": self.intent, "object": "payment_intent", "status": "succeeded", "metadata": {}, **money}
        self.stripe("payment_intent.succeeded", intent)

    def stripe(self, kind, thing):
        """Delivers an event as Stripe does."""
        at = int(time.time())
        event = {"id": f"evt_{uuid.uuid4().hex}", "object": "event", "type": kind, "created": at, "livemode": False}
        body = json.dumps({**event, "data": {"object": thing}}).encode()
        signature = hmac.new(STRIPE_SECRET.encode(), f"{at}.".encode() + body, "sha256").hexdigest()
        headers = {"stripe_signature": f"t={at},v1={signature}"}
        status, answer = self.client.request("POST", "/api/payments/webhook/stripe", body, **headers)
        if status not in (200, 202):
            raise RuntimeError(f"{kind}: {status} {answer}")

    def audit(self):
        """A unit that belongs to no hold, until a second audit."""
        product = self.sale.rare
        self.database.sql(f"UPDATE products SET stock = stock + 1, reserved = reserved + 1 WHERE id = {product}")
        self.client.operate("GET", "/api/admin/audit")
        self.seen(["audit_findings"])
        self.database.sql(f"UPDATE products SET reserved = reserved - 1, stock = stock - 1 WHERE id = {product}")
        self.client.operate("GET", "/api/admin/audit")

    def locks(self):
        """Rows that another client has locked: of the products, then of the feed."""
        for query in ["SELECT id FROM products", "SELECT id FROM feed"]:
            release = self.database.lock(query)
            time.sleep(LOCKED)
            release()
            self.seen(["expiry_lag", "pool_wait", "worker_failing"] if "products" in query else ["feed_lag"])

    def clock(self):
        """The clock of the database is six seconds ahead."""
        if not self.database.has_clock:
            print("libfaketime is missing: clock_difference and expiry_paused were not tried")
            return
        self.database.set_clock(6)
        self.seen(["clock_difference", "expiry_paused"])
        self.database.set_clock(0)

    def log(self):
        """The log of the second instance, which logs much, has no reader for a while."""
        self.second.reads.clear()
        client = Client(self.second)
        for _ in range(20_000):  # 8 MiB of lines wait before the first one is dropped
            client.request("GET", "/api/products?limit=20")
        self.seen(["log_dropped"])
        self.second.reads.set()

    def down(self):
        """Both instances have ended."""
        self.first.stop(), self.second.stop()
        self.seen(["down"])
        self.first.start(), self.second.start()

    def away(self):
        """The database does not answer."""
        self.database.freeze()
        time.sleep(AWAY)
        self.database.thaw()
        self.seen(["database_away", "given_up"])
        wait_for("the service is ready again", lambda: self.client.request("GET", "/readyz")[0] == 200)
