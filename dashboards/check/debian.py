"""Unpacks packages of Debian, with what they depend on, into a folder: nothing is installed, and no daemon starts."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

LIBRARIES = "usr/lib/{}-linux-gnu".format(os.uname().machine)


def cache() -> Path:
    """Returns the folder of what is fetched once."""
    return Path(os.environ.get("CI_CACHE", Path(tempfile.gettempdir()) / "holdfast-ci"))


def unpack(cache: Path, name: str, packages: list[str]) -> Path:
    """Returns the folder that has these packages and those of their dependencies that this machine does not have."""
    root = cache / name
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            new = cache / f"{name}.new"
            shutil.rmtree(new, ignore_errors=True)
            (new / "debs").mkdir(parents=True)
            download = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root"]
            if subprocess.run([*download, *_closure(packages)], cwd=new / "debs").returncode != 0:
                subprocess.run(["apt-get", "update", "-qq"], check=True)  # the lists of packages were old
                subprocess.run([*download, *_closure(packages)], cwd=new / "debs", check=True)
            for package in sorted((new / "debs").glob("*.deb")):
                subprocess.run(["dpkg-deb", "-x", package, new], check=True)
            shutil.rmtree(new / "debs")
            _mend_links(new)
            new.rename(root)
    return root


def environment(root: Path) -> dict[str, str]:
    """Returns this process's environment, with the libraries and the Python modules of an unpacked folder."""
    found = dict(os.environ)
    found.update(
        LD_LIBRARY_PATH=f"{root / LIBRARIES}:{root / 'usr/lib'}",
        PYTHONPATH=str(root / "usr/lib/python3/dist-packages"),
        PYTHONDONTWRITEBYTECODE="1",
    )
    if not Path("/etc/fonts/fonts.conf").exists():
        found["FONTCONFIG_PATH"] = str(root / "etc/fonts")
    return found


def _closure(packages: list[str]) -> list[str]:
    """Returns the packages that apt would install now, without installing them."""
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", "--reinstall", *packages]
    shown = subprocess.run(command, capture_output=True, text=True)
    if shown.returncode != 0:  # on a freshly installed machine the lists of packages are empty
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        shown = subprocess.run(command, check=True, capture_output=True, text=True)
    return [line.split()[1] for line in shown.stdout.splitlines() if line.startswith("Inst ")]


def _mend_links(root: Path) -> None:
    """Makes absolute links lead into the folder where their targets are there."""
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            link = Path(folder) / name
            if not link.is_symlink():
                continue
            target = os.readlink(link)
            inside = root / target.lstrip("/")
            if target.startswith("/") and os.path.lexists(inside):
                link.unlink()
                link.symlink_to(os.path.relpath(inside, link.parent))
