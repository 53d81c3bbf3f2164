"""Debian's carbon and graphite-web behind npm's StatsD, with Holdfast's dashboard, on private ports and folders."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import urllib.error
from pathlib import Path
from urllib.parse import urlencode

from . import debian, page, process

HERE = Path(__file__).resolve().parent.parent / "graphite"
PACKAGES = ["graphite-carbon", "graphite-web"]
STATSD = "statsd@0.9.0"
# Debian's, with its extension modules.
PYTHON = "/usr/bin/python3"
# What a graph shows where nothing was ever recorded.
FALLBACK = re.compile(r"^fallbackSeries\((.*), alias\(scale\([a-z_.]+, 0\), 'none'\)\)$")


class Graphite:
    """StatsD, carbon-cache and graphite-web."""

    style = "plain"

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder / "graphite"
        self.cache = cache
        self.statsd_port = process.free_port(socket.SOCK_DGRAM)
        self.statsd = f"127.0.0.1:{self.statsd_port}"
        self.web_port = process.free_port()
        self.url = f"http://127.0.0.1:{self.web_port}"
        self.children: list[subprocess.Popen] = []

    def install(self) -> None:
        self.root = debian.unpack(self.cache, "graphite-1.1", PACKAGES)
        self.node = self.cache / STATSD.replace("@", "-")
        if not self.node.exists():
            new = self.node.with_suffix(".new")
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--no-optional"]
            subprocess.run(["npm", "install", *options, "--prefix", str(new), STATSD], check=True)
            new.rename(self.node)

    def start(self) -> None:
        for name in ["carbon", "whisper", "log", "run", "web"]:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.environment = debian.environment(self.root)
        port = self._start_carbon()
        self._start_web()
        self._start_statsd(port)
        state = (HERE / "holdfast.json").read_bytes()
        saved = process.read(f"{self.url}/dashboard/save/holdfast", urlencode({"state": state}).encode())
        if json.loads(saved) != {"success": True}:
            raise RuntimeError(f"graphite-web does not take the dashboard: {saved!r}")

    def stop(self) -> None:
        for child in reversed(self.children):
            process.stop(child)

    def graphs(self) -> list[dict]:
        """Returns the parameters of each graph, as graphite-web has them."""
        state = process.read_json(f"{self.url}/dashboard/load/holdfast")["state"]
        return [params for _, params, _ in state["graphs"]]

    def queries(self) -> list[tuple[str, str]]:
        """Returns the title and the target of each query."""
        return [(graph["title"], target) for graph in self.graphs() for target in graph["target"]]

    def missing(self) -> list[str]:
        """Returns the queries that have no value in the last half hour, or that graphite-web does not understand."""
        missing = []
        for title, target in self.queries():
            bare = FALLBACK.sub(r"\1", target)
            query = urlencode({"target": bare, "from": "-30min", "format": "json", "noCache": "1"})
            try:
                series = process.read_json(f"{self.url}/render?{query}")
            except urllib.error.HTTPError as error:
                missing.append(f"{title}: {target}: {error}")
                continue
            if not any(value is not None for one in series for value, _ in one["datapoints"]):
                missing.append(f"{title}: {target}")
        return missing

    def pictures(self, folder: Path) -> list[Path]:
        """Takes a picture of each graph, and of the dashboard."""
        graphs = folder / "graphite"
        graphs.mkdir(parents=True, exist_ok=True)
        files = []
        for number, graph in enumerate(self.graphs(), 1):
            name = re.sub("[^a-z0-9]+", "-", graph["title"].lower()).strip("-")
            query = urlencode({"width": 600, "height": 300, "from": "-30min", "format": "png", **graph}, doseq=True)
            file = graphs / f"{number:02}-{name}.png"
            file.write_bytes(process.read(f"{self.url}/render?{query}"))
            files.append(file)
        url = f"{self.url}/dashboard/holdfast"
        return [*files, page.picture(self.cache, url, folder / "graphite.png", width=1900, height=4400, seconds=15)]

    def _start_carbon(self) -> int:
        folder = self.folder
        for name in ["storage-schemas.conf", "storage-aggregation.conf"]:
            shutil.copy(HERE / name, folder / "carbon")
        line_port, pickle_port, query_port = (process.free_port() for _ in range(3))
        self.query_port = query_port
        settings = {
            "STORAGE_DIR": folder,
            "LOCAL_DATA_DIR": folder / "whisper",
            "CONF_DIR": folder / "carbon",
            "LOG_DIR": folder / "log",
            "PID_DIR": folder / "run",
            "USER": "",
            "MAX_CREATES_PER_MINUTE": "inf",
            "ENABLE_TAGS": "False",
            "LINE_RECEIVER_INTERFACE": "127.0.0.1",
            "LINE_RECEIVER_PORT": line_port,
            "PICKLE_RECEIVER_INTERFACE": "127.0.0.1",
            "PICKLE_RECEIVER_PORT": pickle_port,
            "CACHE_QUERY_INTERFACE": "127.0.0.1",
            "CACHE_QUERY_PORT": query_port,
        }
        cache, rest = (self.root / "etc/carbon/carbon.conf").read_text().split("[relay]")
        for name, value in settings.items():
            cache = re.sub(rf"(?m)^#? ?{name} *=.*$", "", cache) + f"\n{name} = {value}"
        (folder / "carbon/carbon.conf").write_text(f"{cache}\n\n[relay]{rest}")
        command = [PYTHON, str(self.root / "usr/bin/carbon-cache"), "--nodaemon", f"--config={folder}/carbon/carbon.conf", "start"]
        child = process.start(command, folder / "log/carbon.log", self.environment, folder)
        self.children.append(child)
        process.wait_for("carbon", lambda: _listens(line_port), child=child)
        return line_port

    def _start_web(self) -> None:
        folder, root = self.folder, self.root
        static = root / "usr/share/graphite-web/static"
        (folder / "web/holdfast_check.py").write_text(
            f"""\
SECRET_KEY = {os.urandom(16).hex()!r}
ALLOWED_HOSTS = ["127.0.0.1"]
TIME_ZONE = "UTC"
LOG_DIR = {str(folder / "log")!r}
STORAGE_DIR = {str(folder)!r}
WHISPER_DIR = {str(folder / "whisper")!r}
INDEX_FILE = {str(folder / "search_index")!r}
CONF_DIR = {str(folder / "carbon")!r}
STATIC_ROOT = {str(folder / "collected")!r}
CARBONLINK_HOSTS = ["127.0.0.1:{self.query_port}:a"]
DATABASES = {{"default": {{"NAME": {str(folder / "graphite.db")!r}, "ENGINE": "django.db.backends.sqlite3"}}}}
"""
        )
        # what Debian's page lacks, as dashboards/README.md says
        script = folder / "static/js/composer_widgets.js"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text((static / "js/composer_widgets.js").read_text() + (HERE / "debian.js").read_text())
        places = [str(folder / "static"), str(static)]
        (folder / "web/holdfast_settings.py").write_text(f"from graphite.settings import *\nSTATICFILES_DIRS = {places!r}\n")
        environment = dict(self.environment)
        environment["PYTHONPATH"] += f":{folder / 'web'}"
        environment.update(DJANGO_SETTINGS_MODULE="holdfast_settings", GRAPHITE_SETTINGS_MODULE="holdfast_check")
        manage = [PYTHON, "-W", "ignore", "-m", "django"]
        log = folder / "log/web.log"
        with open(log, "ab") as out:
            subprocess.run([*manage, "migrate", "--run-syncdb"], env=environment, stdout=out, stderr=out, check=True)
        command = [*manage, "runserver", "--noreload", "--insecure", f"127.0.0.1:{self.web_port}"]
        child = process.start(command, log, environment, folder)
        self.children.append(child)
        process.wait_for("graphite-web", lambda: process.answers(f"{self.url}/metrics/index.json"), child=child)

    def _start_statsd(self, carbon: int) -> None:
        text = (HERE / "statsd.js").read_text()
        for name, port in [("graphitePort", carbon), ("mgmt_port", process.free_port()), ("port", self.statsd_port)]:
            text, count = re.subn(rf"(?m)^  {name}: \d+", f"  {name}: {port}", text)
            if count != 1:
                raise RuntimeError(f"statsd.js has no {name}")
        file = self.folder / "statsd.js"
        file.write_text(text)
        command = ["node", str(self.node / "node_modules/statsd/stats.js"), str(file)]
        self.children.append(process.start(command, self.folder / "log/statsd.log"))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
