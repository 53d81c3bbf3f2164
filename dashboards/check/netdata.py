"""Debian's Netdata with Holdfast's charts and alarms, on private ports and folders."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import urllib.error
from pathlib import Path

from . import debian, page, process

HERE = Path(__file__).resolve().parent.parent / "netdata"
PACKAGES = ["netdata-core", "netdata-web", "netdata-plugins-bash"]
# Of Netdata's own plugins, only the StatsD server runs.
PLUGINS_OFF = [
    "proc", "diskspace", "cgroups", "tc", "idlejitter", "apps", "charts.d", "python.d", "node.d", "go.d", "fping", "ioping",
    "perf", "slabinfo", "nfacct", "cups", "ebpf", "freeipmi", "xenstat", "timex", "loops", "netdata monitoring",
    "netdata monitoring extended", "enable running new plugins",
]  # fmt: skip


class Netdata:
    """Netdata, its StatsD server and its API."""

    style = "plain"

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder / "netdata"
        self.cache = cache
        self.port = process.free_port()
        self.statsd_port = process.free_port(socket.SOCK_DGRAM)
        self.statsd = f"127.0.0.1:{self.statsd_port}"
        self.url = f"http://127.0.0.1:{self.port}"
        self.child: subprocess.Popen | None = None

    def install(self) -> None:
        self.root = debian.unpack(self.cache, "netdata-1.37", PACKAGES)

    def start(self) -> None:
        for name in ["etc/statsd.d", "etc/health.d", "stock", "cache", "lib/cloud.d", "lib/registry", "log"]:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        etc = self.folder / "etc"
        shutil.copy(HERE / "holdfast.conf", etc / "statsd.d")
        shutil.copy(HERE / "holdfast.health.conf", etc / "health.d")
        (etc / ".opt-out-from-anonymous-statistics").touch()
        (self.folder / "lib/cloud.d/cloud.conf").write_text("[global]\n\tenabled = no\n")
        (etc / "netdata.conf").write_text(self._configuration())
        command = [str(self.root / "usr/sbin/netdata"), "-D", "-c", str(etc / "netdata.conf")]
        environment = debian.environment(self.root) | {"DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
        self.child = process.start(command, self.folder / "log/netdata.log", environment)
        process.wait_for("Netdata", lambda: process.answers(f"{self.url}/api/v1/info"), child=self.child)

    def stop(self) -> None:
        process.stop(self.child)

    def charts(self) -> dict[str, dict[str, dict]]:
        """Returns the dimensions of our charts, by chart and name."""
        found = process.read_json(f"{self.url}/api/v1/charts")["charts"]
        return {
            name.removeprefix("holdfast."): {dim["name"]: dim for dim in chart["dimensions"].values()}
            for name, chart in found.items()
            if name.startswith("holdfast.")
        }

    def missing(self) -> list[str]:
        """Returns the charts that are not there, and the dimensions without a value in the last half hour. A pattern needs one
        dimension that matches."""
        found = self.charts()
        missing = []
        for chart, dimensions in self.wanted().items():
            if chart not in found:
                missing.append(f"chart {chart}")
                continue
            query = f"chart=holdfast.{chart}&after=-1800&points=1&group=max&options=abs,jsonwrap,match-names,unaligned"
            try:
                data = process.read_json(f"{self.url}/api/v1/data?{query}")
            except urllib.error.HTTPError:  # no dimension that is shown
                data = {"dimension_names": [], "view_latest_values": []}
            values = dict(zip(data["dimension_names"], data["view_latest_values"]))
            for pattern, name in dimensions:
                if pattern:
                    # named by what the pattern leaves over
                    others = {other for is_pattern, other in dimensions if not is_pattern}
                    has_value = any(label not in others and label.startswith(name) for label in values)
                else:
                    has_value = values.get(name) is not None
                if not has_value:
                    missing.append(f"chart {chart}: {pattern or name}")
        return missing

    def wanted(self) -> dict[str, list[tuple[str, str]]]:
        """Returns the shown dimensions of each chart of holdfast.conf: a pattern, or none, and the name or what it begins with."""
        wanted: dict[str, list[tuple[str, str]]] = {}
        chart = ""
        for line in (HERE / "holdfast.conf").read_text().splitlines():
            line = line.strip()
            if line.startswith("["):
                chart = line.strip("[]")
            elif line.startswith("dimension"):
                words = line.split("=", 1)[1].split()
                if words[-1] == "hidden":
                    continue
                pattern = words[1] if words[0] == "pattern" else ""
                name = words[2] if pattern else words[1]
                wanted.setdefault(chart, []).append((pattern, name.strip("'")))
        return wanted

    def alarms(self) -> dict[str, str]:
        """Returns the status of each alarm whose chart is there, by its name without `holdfast_`."""
        found = process.read_json(f"{self.url}/api/v1/alarms?all")["alarms"]
        return {alarm["name"].removeprefix("holdfast_"): alarm["status"] for alarm in found.values()}

    def names(self) -> set[str]:
        """Returns the names of all alarms in holdfast.health.conf, without `holdfast_`."""
        return set(re.findall(r"^\s*(?:alarm|template):\s*holdfast_(\w+)$", (HERE / "holdfast.health.conf").read_text(), re.MULTILINE))

    def pictures(self, folder: Path) -> list[Path]:
        """Takes a picture of our part of the dashboard."""
        url = f"{self.url}/#menu_holdfast;after=-1200;before=0;theme=white;help=false"
        return [page.picture(self.cache, url, folder / "netdata.png", width=1500, height=9000, seconds=20)]

    def _configuration(self) -> str:
        root, folder = self.root, self.folder
        off = "".join(f"\t{name} = no\n" for name in PLUGINS_OFF)
        return f"""\
[global]
	run as user = {getpass.getuser()}
	hostname = shop-1
[directories]
	config = {folder}/etc
	stock config = {folder}/stock
	health config = {folder}/etc/health.d
	stock health config = {folder}/stock
	log = {folder}/log
	cache = {folder}/cache
	lib = {folder}/lib
	home = {folder}
	web = {root}/usr/share/netdata/web
	plugins = "{folder}/stock"
[db]
	mode = ram
	retention = 3600
[logs]
	access = none
[web]
	bind to = 127.0.0.1:{self.port}
	web files owner = {getpass.getuser()}
	web files group = {os.getgid()}
[registry]
	enabled = no
[cloud]
	enabled = no
[ml]
	enabled = no
[health]
	run at least every seconds = 5
	script to execute on alarm = /bin/true
[statsd]
	bind to = udp:{self.statsd}
[plugins]
	statsd = yes
{off}"""

