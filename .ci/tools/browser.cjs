// Makes a sale in Swagger UI: node browser.cjs URL CHROMIUM [PICTURE].

const { chromium } = require("playwright-core");

const [service, program, picture] = process.argv.slice(2);
const host = new URL(service).host;
const wrong = [];

/** Opens an operation, fills in what is given, executes it, and returns its JSON if it has the expected status. */
async function tryOut(page, name, status, { body, parameters = {} } = {}) {
  const operation = page.locator(`[id$="-${name}"].opblock`);
  await operation.locator(".opblock-summary").click();
  await operation.locator(".try-out__btn").click();
  for (const [parameter, value] of Object.entries(parameters)) {
    const row = operation.locator(`tr[data-param-name="${parameter}"]`);
    const select = row.locator("select");
    if (await select.count()) await select.selectOption(value);
    else await row.locator("input").fill(value);
  }
  const text = operation.locator("textarea.body-param__text");
  // without a body of its own, the example is sent as it is
  if (body) await text.fill(JSON.stringify(body));
  await operation.locator("button.execute").click();
  const answer = operation.locator(".live-responses-table .response");
  await answer.waitFor();
  const shown = (await answer.locator("td.response-col_status").innerText()).trim().split(/\s/)[0];
  const json = await answer.locator(".highlight-code code").first().innerText();
  if (shown !== String(status)) throw new Error(`${name}: ${shown} ${json}`);
  console.log(`${name}: ${shown}`);
  return JSON.parse(json);
}

function assert(isTrue, what) {
  if (!isTrue) throw new Error(JSON.stringify(what));
}

async function sell(page) {
  await page.goto(`${service}/docs`);
  await page.locator(".opblock-summary").first().waitFor();
  const { items } = await tryOut(page, "listProducts", 200);
  assert(items.length > 0, items);
  const hold = await tryOut(page, "createHold", 201);
  const pending = await tryOut(page, "createOrder", 201, { body: { hold_id: hold.hold_id } });
  assert(pending.status === "pending" && pending.total_minor > 0, pending);
  const parameters = { order_id: pending.order_id };
  const paid = await tryOut(page, "payInDev", 200, { parameters: { ...parameters, outcome: "paid" } });
  assert(paid.order.status === "paid", paid);
  const order = await tryOut(page, "getOrder", 200, { parameters });
  assert(order.status === "paid" && order.total_minor === pending.total_minor, order);
  if (picture) {
    await page.locator('[id$="-getOrder"].opblock').scrollIntoViewIfNeeded();
    await page.screenshot({ path: picture });
  }
}

async function main() {
  // names of other hosts are not looked up
  const rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";
  const quiet = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
  const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox", rules, ...quiet] });
  try {
    const page = await browser.newPage({ viewport: { width: 1300, height: 1600 } });
    page.setDefaultTimeout(60_000);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) wrong.push(`console ${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => wrong.push(`page: ${error}`));
    page.on("requestfailed", (request) => wrong.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.host !== host && !["data:", "blob:"].includes(url.protocol)) wrong.push(`another host: ${url}`);
    });
    await sell(page);
  } finally {
    await browser.close();
  }
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
}

main().catch((error) => {
  console.error([...new Set([String(error.message), ...wrong])].join("\n"));
  process.exitCode = 1;
});
