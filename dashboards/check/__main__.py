"""Checks the dashboards and alerts with real servers: a sale is watched while everything happens that an alert is for."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from . import debian
from .faults import PATIENCE, Faults
from .graphite import Graphite
from .load import Sale
from .netdata import Netdata
from .process import share, wait_for
from .prometheus import Prometheus
from .service import Database, Instance

SERVERS = {"prometheus": Prometheus, "netdata": Netdata, "graphite": Graphite}
# Times that let alerts of minutes be seen within minutes.
SETTINGS = {
    "HOLDFAST_HOLD_TTL_SECONDS": "10",
    "HOLDFAST_ORDER_TTL_SECONDS": "10",
    "HOLDFAST_PARK_SECONDS": "500",
    "HOLDFAST_POOL_SIZE": "2",
    "HOLDFAST_PUSH_PRIVATE": "on",
    "HOLDFAST_RATE_WEBHOOKS": "30",
    "HOLDFAST_FEED_HOLDS": "on",
}
# What does not happen in a run, by words of its charts and queries, and why.
UNSEEN = {
    "push_disabled": "an endpoint is disabled after 72 hours",
    "statsd": "StatsD is there",
    "lost: metrics": "StatsD is there",
    "passed_over": "needs units that are missing",
    "tried_again": "needs an event that cannot be applied",
}
# What only faults show.
OF_FAULTS = [
    "audit_findings", "operator: findings", "events_ended", "webhook_retried", "given_up", "retries", "webhook_quarantined",
    "events_quarantined", "worker_failed", "clock_jumps", "log_dropped", "lost: log",
]  # fmt: skip
RAISED = {"firing", "WARNING", "CRITICAL"}
HEALTHY = 60


class Watch:
    """Remembers which alerts fired at which server, and when they cleared."""

    def __init__(self, servers):
        self.servers = {name: server for name, server in servers.items() if hasattr(server, "alarms")}
        self.every = {(name, alarm) for name, server in self.servers.items() for alarm in server.names()}
        self.began, self.fired, self.cleared, self.raised = time.monotonic(), {}, {}, set()
        self.is_over = threading.Event()
        threading.Thread(target=self.look, daemon=True).start()

    def look(self):
        while not self.is_over.wait(2):
            raised = set()
            for name, server in self.servers.items():
                try:
                    raised |= {(name, alarm) for alarm, state in server.alarms().items() if state in RAISED}
                except Exception as error:
                    print(f"{name}: {error!r}", file=sys.stderr)
            now = round(time.monotonic() - self.began)
            for alarm in raised - self.raised:
                print(f"{now:4} s  {alarm[0]}: {alarm[1]} fires", flush=True)
                self.fired.setdefault(alarm, now)
            for alarm in self.raised - raised:
                print(f"{now:4} s  {alarm[0]}: {alarm[1]} is clear", flush=True)
                self.cleared[alarm] = now
            self.raised = raised

    def seen(self, alarms):
        """Waits until these alerts have fired at every server that has them."""
        wanted = {(name, alarm) for name, alarm in self.every if alarm in alarms}
        try:
            wait_for("alerts", lambda: wanted <= set(self.fired), PATIENCE)
        except TimeoutError:
            print(f"these did not fire: {sorted(wanted - set(self.fired))}", flush=True)

    def problems(self):
        """Returns what did not fire, or did not clear."""
        never = [f"{name}: {alarm} was not seen firing" for name, alarm in sorted(self.every - set(self.fired))]
        return never + [f"{name}: {alarm} did not clear" for name, alarm in sorted(self.raised)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/dashboards", description=__doc__)
    parser.add_argument("holdfast", help="the program")
    parser.add_argument("--only", default=",".join(SERVERS), help="servers, comma-separated")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures")
    parser.add_argument("--no-alerts", action="store_true", help="charts and queries alone: about two minutes")
    options = parser.parse_args()
    cache = debian.cache()
    folder = Path(tempfile.mkdtemp(prefix="holdfast-dashboards-"))
    servers = {name: SERVERS[name](folder, cache) for name in options.only.split(",")}
    for server in servers.values():
        server.install()
    problems = run(options, folder, servers)
    for problem in problems:
        print(problem)
    if problems:
        print(f"the logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    print("every chart and query has data" + ("" if options.no_alerts else ", and every alert has fired and cleared"))
    return 0


def run(options, folder, servers) -> list[str]:
    with ExitStack() as stopping:
        database = Database(folder / "database")
        stopping.callback(database.stop)
        database.start()
        receivers = [server for server in servers.values() if hasattr(server, "statsd")]
        for server in servers.values():
            stopping.callback(server.stop)
        for server in receivers:
            server.start()
        settings = {**SETTINGS, "HOLDFAST_STATSD": share([server.statsd for server in receivers])}
        instances = [Instance(options.holdfast, database, folder, settings)]
        instances.append(Instance(options.holdfast, database, folder, {**settings, "HOLDFAST_LOG": "trace"}))
        if instances[0].run("migrate") != 0:
            raise RuntimeError(f"migrate failed: see {instances[0].log}")
        for instance in instances:
            stopping.callback(instance.stop)
            instance.start()
        if "prometheus" in servers:
            servers["prometheus"].start([instance.address for instance in instances])
        sale = Sale(instances)
        stopping.callback(sale.end)
        return watch(options, database, instances, sale, servers)


def watch(options, database, instances, sale, servers) -> list[str]:
    sale.open()
    watch = Watch(servers)
    faults = Faults(database, *instances, sale, watch.seen)
    faults.begin()
    sale.begin()
    time.sleep(HEALTHY)
    problems = [f"{name}: {alarm} fires although all is well" for name, alarm in sorted(watch.fired)]
    if not options.no_alerts:
        faults.play()
        if options.pictures:
            take(options.pictures / "faults", servers)
        faults.mend()
        try:
            wait_for("all alerts to clear", lambda: not watch.raised, PATIENCE)
        except TimeoutError:
            pass
        problems += watch.problems()
    for name, server in servers.items():
        for chart in server.missing():
            why = next((why for words, why in UNSEEN.items() if words in chart), None)
            if options.no_alerts and any(words in chart.replace(".", "_") for words in OF_FAULTS):
                why = "no faults are played"
            if why is None:
                problems.append(f"{name}: no data: {chart}")
            else:
                print(f"{name}: not seen ({why}): {chart}")
    if options.pictures:
        take(options.pictures, servers)
    watch.is_over.set()
    return problems


def take(folder, servers):
    folder.mkdir(parents=True, exist_ok=True)
    for server in servers.values():
        for file in server.pictures(folder):
            print(f"picture: {file}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
