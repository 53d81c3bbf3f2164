"""Pictures of pages, in headless Chromium."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ["chromium", "chromium-browser", "google-chrome"]
OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def picture(url: str, file: Path, width: int = 1600, height: int = 1200, seconds: int = 20) -> Path:
    """Takes a picture of a page after so many seconds of its own time."""
    chromium = next((found for name in NAMES if (found := shutil.which(name))), None)
    if chromium is None:
        raise FileNotFoundError("pictures need Chromium: apt-get install chromium")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                chromium,
                *OPTIONS,
                f"--user-data-dir={profile}",
                f"--window-size={width},{height}",
                f"--virtual-time-budget={seconds * 1000}",
                f"--screenshot={file}",
                url,
            ],
            check=True,
            timeout=180,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return file
