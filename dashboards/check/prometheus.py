"""Prometheus, with the rules of alerts, and every query of the dashboard for Grafana."""

from __future__ import annotations

import json
import urllib.parse
from pathlib import Path

from . import debian, page, process
from .service import TOKEN

PLACE = Path(__file__).resolve().parent.parent
PACKAGES = ("prometheus-2.42", ["prometheus"])
# What the variables of the dashboard stand for here.
VARIABLES = {"$instance": ".*", "$product": ".*", "$__rate_interval": "1m", "$__range": "10m"}


class Prometheus:
    """Prometheus, which reads the metrics of every instance with the token of an operator."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache, self.port = folder / "prometheus", cache, process.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.child = None

    def install(self) -> None:
        self.root = debian.unpack(self.cache, *PACKAGES)

    def start(self, addresses=()):
        """Begins to read these instances."""
        self.folder.mkdir(parents=True)
        scrape = {
            "job_name": "holdfast",
            "authorization": {"credentials": TOKEN},
            "static_configs": [{"targets": list(addresses)}],
        }
        often = {"scrape_interval": "5s", "evaluation_interval": "5s"}
        rules = [str(PLACE / "prometheus/holdfast.rules.yml")]
        # JSON is YAML
        config = self.folder / "prometheus.yml"
        config.write_text(json.dumps({"global": often, "rule_files": rules, "scrape_configs": [scrape]}))
        options = [f"--config.file={config}", f"--storage.tsdb.path={self.folder}/data", "--log.level=warn"]
        options += [f"--web.listen-address=127.0.0.1:{self.port}"]
        options += [f"--web.console.templates={self.root}/etc/prometheus/consoles"]
        command = [str(self.root / "usr/bin/prometheus"), *options]
        self.child = process.start(command, self.folder / "log", debian.environment(self.root))
        process.wait_for("Prometheus", lambda: process.answers(f"{self.url}/-/ready"), child=self.child)

    def ask(self, path, **query):
        return process.read_json(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}")["data"]

    def names(self):
        """Returns the names of all alerts, in snake case."""
        return set(self.alarms())

    def alarms(self):
        """Returns the state of every alert, by its name in snake case: `inactive`, `pending` or `firing`."""
        rules = [rule for group in self.ask("rules", type="alert")["groups"] for rule in group["rules"]]
        wrong = [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] == "err"]
        if wrong:
            raise RuntimeError("; ".join(wrong))
        return {snake(rule["name"]): rule["state"] for rule in rules}

    def missing(self):
        """Returns the queries of the dashboard that found nothing in the last half hour."""
        panels = queries(json.loads((PLACE / "grafana/holdfast.json").read_text()))
        return [f"{title}: {query}" for title, query in panels if not self.finds(query)]

    def finds(self, query):
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        now = float(self.ask("query", query="time()")["result"][1])
        found = self.ask("query_range", query=query, start=now - 1800, end=now, step=5)["result"]
        return any(value != "NaN" for series in found for _, value in series["values"])

    def pictures(self, folder):
        """Takes pictures of the alerts, and of the queries of each row of the dashboard."""
        dashboard = json.loads((PLACE / "grafana/holdfast.json").read_text())
        taken = [page.picture(self.cache, f"{self.url}/classic/alerts", folder / "prometheus-alerts.png")]
        row, rows = "", {}
        for panel in dashboard["panels"]:
            if panel["type"] == "row":
                row = panel["title"]
                continue
            rows.setdefault(row, []).extend(target["expr"] for target in panel.get("targets", []))
        for number, shown in enumerate(rows.values()):
            query = {}
            for index, expression in enumerate(shown[:6]):
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                query |= {f"g{index}.expr": expression, f"g{index}.tab": "0", f"g{index}.range_input": "30m"}
            url = f"{self.url}/classic/graph?{urllib.parse.urlencode(query)}"
            taken.append(page.picture(self.cache, url, folder / f"prometheus-{number}.png", height=600 * len(shown[:6])))
        return taken

    def stop(self):
        process.stop(self.child)


def snake(name):
    """`HoldfastInboxAge` is `inbox_age`."""
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name.removeprefix("Holdfast"))
    return words.removeprefix("_")


def queries(dashboard):
    """Returns the title of each panel and its queries, in pairs, also of panels within rows and of variables."""
    found = []
    for panel in dashboard["panels"]:
        for each in [panel, *panel.get("panels", [])]:
            found += [(each["title"], target["expr"]) for target in each.get("targets", [])]
    return found
