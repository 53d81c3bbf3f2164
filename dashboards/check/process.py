"""Child processes of a check, on free ports of 127.0.0.1."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def start(command: list[str], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> subprocess.Popen:
    """Starts a child process that writes to a log file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as out:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd)


def stop(child: subprocess.Popen | None) -> None:
    """Ends a child process, kindly first."""
    if child is None or child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def wait_for(what: str, is_there: Callable[[], Any], seconds: float = 60, child: subprocess.Popen | None = None) -> Any:
    """Waits until the function returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        found = is_there()
        if found:
            return found
        if child is not None and child.poll() is not None:
            raise RuntimeError(f"{what}: the process has ended with {child.returncode}")
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not there after {seconds:.0f} s")
        time.sleep(0.2)


def share(receivers: list[str]) -> str:
    """Passes on to all of these servers what arrives over UDP at the address that is returned."""
    arriving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    arriving.bind(("127.0.0.1", 0))
    addresses = [(host, int(port)) for host, port in (receiver.rsplit(":", 1) for receiver in receivers)]

    def pass_on() -> None:
        while True:
            packet = arriving.recv(65536)
            for address in addresses:
                arriving.sendto(packet, address)

    threading.Thread(target=pass_on, daemon=True).start()
    return "127.0.0.1:{}".format(arriving.getsockname()[1])


def read(url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    request = urllib.request.Request(url, data=data, headers=headers or {})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read()


def read_json(url: str) -> Any:
    return json.loads(read(url))


def answers(url: str) -> bool:
    try:
        read(url)
    except (urllib.error.URLError, ConnectionError, TimeoutError, OSError):
        return False
    return True
