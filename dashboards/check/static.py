"""Checks of the files alone: promtool runs the unit tests of the alerts, and Grafana's own types read its dashboard.

python3 -m check.static install puts both tools into the cache; python3 -m check.static uses them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import debian
from .prometheus import PACKAGES as PROMETHEUS

PLACE = Path(__file__).resolve().parent.parent
PACKAGES = ["@grafana/schema@10.4.19", "typescript@5.9.3"]
# An enum of TypeScript takes no text, which is what JSON has.
TYPES = """import type { Dashboard } from "@grafana/schema";
type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
export const dashboard: Json<Dashboard> = """


def modules() -> Path:
    return debian.cache() / "grafana-schema-10.4.19-typescript-5.9.3"


def install() -> None:
    debian.unpack(debian.cache(), *PROMETHEUS)
    if not modules().exists():
        new = modules().with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(new)]
        subprocess.run(["npm", "install", *options, *PACKAGES], check=True)
        new.rename(modules())


def alerts() -> None:
    root = debian.unpack(debian.cache(), *PROMETHEUS)
    promtool = [str(root / "usr/bin/promtool")]
    folder, environment = PLACE / "prometheus", debian.environment(root)
    subprocess.run([*promtool, "check", "rules", "holdfast.rules.yml"], cwd=folder, env=environment, check=True)
    subprocess.run([*promtool, "test", "rules", "holdfast.rules.test.yml"], cwd=folder, env=environment, check=True)


def grafana() -> None:
    dashboard = (PLACE / "grafana/holdfast.json").read_text()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "node_modules").symlink_to(modules() / "node_modules")
        (Path(folder) / "dashboard.ts").write_text(TYPES + dashboard)
        compiler = [str(modules() / "node_modules/.bin/tsc"), "--noEmit", "--strict", "--skipLibCheck"]
        how = ["--module", "esnext", "--moduleResolution", "bundler", "--target", "es2022", "dashboard.ts"]
        subprocess.run([*compiler, *how], cwd=folder, check=True)
    print("Grafana's types read the dashboard")


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        install()
    else:
        alerts()
        grafana()
