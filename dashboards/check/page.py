"""Pictures of pages, in headless Chromium, driven by Playwright of npm (which downloads no browser)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PLAYWRIGHT = "playwright-core@1.56.1"
NAMES = ["chromium", "chromium-browser", "google-chrome"]
SCRIPT = """
const { chromium } = require("playwright-core");
const given = JSON.parse(process.argv[1]);
(async () => {
  const args = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync"];
  const browser = await chromium.launch({ executablePath: given.chromium, args, chromiumSandbox: false });
  const page = await browser.newPage({ viewport: { width: given.width, height: given.height } });
  page.on("pageerror", (error) => console.error(`${given.url}: ${error}`));
  await page.goto(given.url, { waitUntil: "load", timeout: 60000 });
  if (given.until) await page.waitForSelector(given.until, { timeout: 60000 });
  await page.waitForTimeout(given.seconds * 1000);
  for (const style of given.hidden) await page.addStyleTag({ content: `${style} { display: none !important; }` });
  await page.screenshot({ path: given.file, ...(given.clip ? { clip: given.clip } : {}) });
  await browser.close();
})().catch((error) => { console.error(error); process.exit(1); });
"""


def install(cache: Path) -> Path:
    """Returns the folder of Playwright's modules."""
    folder = cache / PLAYWRIGHT.replace("@", "-")
    if not folder.exists():
        new = folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(["npm", "install", *options, "--prefix", str(new), PLAYWRIGHT], check=True)
        new.rename(folder)
    return folder / "node_modules"


def picture(
    cache: Path,
    url: str,
    file: Path,
    *,
    width: int = 1600,
    height: int = 1200,
    seconds: float = 5,
    until: str = "",
    hidden: tuple[str, ...] = (),
    clip: dict[str, int] | None = None,
) -> Path:
    """Takes a picture of a page, so many seconds after it has what `until` selects. What `hidden` selects is left out."""
    chromium = next((found for name in NAMES if (found := shutil.which(name))), None)
    if chromium is None:
        raise FileNotFoundError("pictures need Chromium: apt-get install chromium")
    file.parent.mkdir(parents=True, exist_ok=True)
    given = {
        "chromium": chromium,
        "url": url,
        "file": str(file),
        "width": width,
        "height": height,
        "seconds": seconds,
        "until": until,
        "hidden": hidden,
        "clip": clip,
    }
    modules = install(cache)
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"NODE_PATH": str(modules), "HOME": home}
        subprocess.run(["node", "-e", SCRIPT, json.dumps(given)], check=True, timeout=180, env=environment)
    return file
