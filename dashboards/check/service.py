"""A private database server, instances of the service, and requests to them."""

from __future__ import annotations

import glob
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .process import free_port, start, stop, wait_for

TOKEN, SECRET = "an-operators-token-of-this-check", "whsec_ZGFzaGJvYXJkcy1hcmUtY2hlY2tlZC13aXRoLXRoaXM="
STRIPE_SECRET = "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH"
SBIN = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin", "/usr/libexec"])


def program(*names):
    """Returns the path of the first of these programs that is installed."""
    found = next(filter(None, (shutil.which(name, path=SBIN) for name in names)), None)
    if found is None:
        raise FileNotFoundError(" or ".join(names))
    return found


class Database:
    """A private MariaDB server that can be frozen and whose clock can be set, where libfaketime is installed."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        self.url = f"mysql://root@127.0.0.1:{self.port}/holdfast"
        self.clock, self.log, self.child = folder / "clock", folder / "log", None

    def start(self):
        self.folder.mkdir(parents=True)
        data, user = self.folder / "data", subprocess.check_output(["id", "-un"], text=True).strip()
        install = [program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", f"--user={user}", "--skip-test-db"]
        with open(self.log, "ab") as log:
            subprocess.run([*install, "--auth-root-authentication-method=normal"], check=True, stdout=log, stderr=log)
        self.clock.write_text("+0")
        libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        self.has_clock = bool(libraries)
        clock = {"LD_PRELOAD": libraries[0], "FAKETIME_TIMESTAMP_FILE": str(self.clock)} if libraries else {}
        clock |= {"FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}
        options = [f"--datadir={data}", f"--socket={self.folder}/socket", f"--port={self.port}", "--bind-address=127.0.0.1"]
        options += [f"--pid-file={self.folder}/pid", f"--user={user}", "--max-connections=200"]
        command = [program("mariadbd"), "--no-defaults", *options]
        self.child = start(command, self.log, {**os.environ, **clock})
        wait_for("the database server", self.answers, child=self.child)
        self.sql("CREATE DATABASE holdfast", database="")

    def answers(self):
        return self.client("-e", "SELECT 1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait() == 0

    def client(self, *arguments, **how):
        client = [program("mariadb", "mysql"), "--no-defaults", "-h127.0.0.1", f"-P{self.port}", "-uroot", "-N", "-B"]
        return subprocess.Popen([*client, *arguments], text=True, **how)

    def sql(self, text, database="holdfast"):
        """Runs a statement and returns its rows, as lists of texts."""
        client = self.client(database, "-e", text, stdout=subprocess.PIPE)
        out, _ = client.communicate(timeout=60)
        if client.returncode:
            raise RuntimeError(f"refused: {text}")
        return [line.split("\t") for line in out.splitlines()]

    def lock(self, query):
        """Locks the rows of a query, from another client. Returns what ends it."""
        client = self.client("-n", "holdfast", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        client.stdin.write(f"BEGIN; {query} FOR UPDATE; SELECT 'locked';\n")
        client.stdin.flush()
        while client.stdout.readline().strip() not in ("locked", ""):
            pass
        return lambda: (client.stdin.close(), client.wait())

    def set_clock(self, seconds):
        (self.folder / "next").write_text(f"{seconds:+d}")
        (self.folder / "next").rename(self.clock)  # never read while it is incomplete

    def freeze(self):
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.child.send_signal(signal.SIGCONT)

    def stop(self):
        if self.child is not None:
            self.thaw()
        stop(self.child)


class Instance:
    """`holdfast serve`, and a reader of its log that can pause."""

    def __init__(self, holdfast, database: Database, folder: Path, settings):
        self.holdfast, self.port = holdfast, free_port()
        self.address, self.log = f"127.0.0.1:{self.port}", folder / f"instance-{self.port}.log"
        own = {"HOLDFAST_DATABASE_URL": database.url, "HOLDFAST_LISTEN": self.address, "HOLDFAST_STOREFRONT": "open"}
        own |= {"HOLDFAST_WEBHOOK_SECRETS": SECRET, "HOLDFAST_ADMIN_TOKEN": TOKEN, "HOLDFAST_STRIPE_SECRETS": STRIPE_SECRET}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        self.environment = {**kept, **own, **settings}
        self.child, self.reads = None, threading.Event()
        self.reads.set()

    def run(self, *arguments):
        """Runs another command with the same settings. Returns its exit code."""
        with self.log.open("ab") as log:
            return subprocess.run([self.holdfast, *arguments], env=self.environment, stdout=log, stderr=log).returncode

    def start(self):
        self.child = subprocess.Popen([self.holdfast, "serve"], env=self.environment, stderr=subprocess.PIPE)
        threading.Thread(target=self.read_log, daemon=True).start()
        client = Client(self)
        wait_for("the service is ready", lambda: client.request("GET", "/readyz")[0] == 200)

    def read_log(self):
        with self.log.open("ab") as log:
            while part := self.child.stderr.read1(65536):
                log.write(part)
                self.reads.wait()

    def stop(self):
        self.reads.set()
        stop(self.child)


class Client:
    """A connection to an instance."""

    def __init__(self, instance: Instance):
        self.address, self.connection = instance.address, None

    def request(self, method, path, body=None, **headers):
        """Returns the status and the body; the status 0 where there is no answer."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            headers.setdefault("content-type", "application/json")
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.address, timeout=30)
            self.connection.request(method, path, data, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.connection = None
            return 0, None
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, None

    def operate(self, method, path, body=None, **headers):
        """Sends a request of an operator, which must succeed. Returns the body."""
        status, answer = self.request(method, path, body, authorization=f"Bearer {TOKEN}", **headers)
        if not 200 <= status < 300:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer
