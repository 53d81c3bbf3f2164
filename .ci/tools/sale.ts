// Makes a sale with the types that openapi-typescript has generated: node sale.js URL.

import createClient from "openapi-fetch";

import type { components, paths } from "./holdfast.js";

type Schemas = components["schemas"];
type Answer<Body> = { data?: Body; error?: Schemas["Problem"]; response: Response };

declare const process: { argv: string[]; env: Record<string, string | undefined> };

/** Returns the body of a success. */
function expect<Body>({ data, error, response }: Answer<Body>): Body {
  if (data === undefined) throw new Error(`${response.url}: ${response.status} ${JSON.stringify(error)}`);
  return data;
}

function assert(isTrue: boolean, what: unknown): void {
  if (!isTrue) throw new Error(JSON.stringify(what));
}

const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });

// signs payment events, as their provider does
client.use({
  async onRequest({ request, schemaPath }) {
    if (schemaPath !== "/api/payments/webhook") return undefined;
    const secret = (process.env["WEBHOOK_SECRET"] ?? "").replace("whsec_", "");
    const bytes = Uint8Array.from(atob(secret), (letter) => letter.charCodeAt(0));
    const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const [event, now] = ["event-of-the-other-sale", String(Math.floor(Date.now() / 1000))];
    const text = new TextEncoder().encode(`${event}.${now}.${await request.clone().text()}`);
    const signature = btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.sign("HMAC", key, text))));
    request.headers.set("webhook-id", event);
    request.headers.set("webhook-timestamp", now);
    request.headers.set("webhook-signature", `v1,${signature}`);
    return request;
  },
});

const { items } = expect(await client.GET("/api/products", { params: { query: { limit: 100 } } }));
const product = items.find(({ available_stock, price_minor }) => available_stock > 1 && price_minor > 0);
if (product === undefined) throw new Error("there is no product on sale");

const asked: Schemas["CreateHold"] = { product_id: product.id, qty: 2 };
const key = { header: { "Idempotency-Key": "sale-in-typescript" } };
const hold = expect(await client.POST("/api/holds", { params: key, body: asked }));
assert(hold.status === "active" && hold.items.every(({ qty }) => qty === 2), hold);

const pending = expect(await client.POST("/api/orders", { body: { hold_id: hold.hold_id } }));
assert(pending.status === "pending" && pending.total_minor === 2 * product.price_minor, pending);

const paid: Schemas["PaymentEvent"] = {
  status: "paid",
  order_id: pending.order_id,
  amount: (pending.total_minor / 100).toFixed(2),
  currency: pending.currency,
  txn_id: "sale-in-typescript",
};
const event = expect(await client.POST("/api/payments/webhook", { body: paid }));

const path = { order_id: pending.order_id };
const order = expect(await client.GET("/api/orders/{order_id}", { params: { path } }));
assert(order.status === "paid", order);
const trail = expect(await client.GET("/api/orders/{order_id}/events", { params: { path } }));

const missing = { order_id: "00000000-0000-0000-0000-000000000000" };
const { error, response } = await client.GET("/api/orders/{order_id}", { params: { path: missing } });
assert(response.status === 404 && error?.code === "order_not_found", error);
console.log(JSON.stringify({ client: "TypeScript", order, event, changes: trail.items.length }));
