"""Chromium as tests start it: one that does not watch this machine's network."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
from pathlib import Path

from tests.services.chromium import without_netlink
from tests.services.common import ServiceUnavailableError, cache_dir


def installed() -> str:
    """Return the browser's path.

    Raises
    ------
    ServiceUnavailableError
        There is none.
    """
    executable = os.environ.get("BACALHAU_JUPYTER_CHROMIUM") or shutil.which("chromium")
    if not executable:
        raise ServiceUnavailableError("no Chromium was found (install the package chromium)")
    return executable


def chromium() -> str:
    """Return a program that starts the browser without a view of this machine's interfaces.

    Chromium cancels requests that wait for a connection (``ERR_NETWORK_CHANGED``) when an address comes or goes, as
    with every container of another test: a page then lacks a style sheet or a script.

    Raises
    ------
    ServiceUnavailableError
        There is no browser.
    """
    executable = installed()
    if not sys.platform.startswith("linux") or platform.machine() not in without_netlink.SYSTEM_CALLS:
        return executable
    command = [sys.executable, "-I", "-S", str(Path(without_netlink.__file__)), executable]
    starter = cache_dir() / "chromium-without-netlink"
    text = f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n'
    if not starter.exists() or starter.read_text() != text:
        written = starter.with_suffix(f".{os.getpid()}")
        written.write_text(text)
        written.chmod(0o755)
        written.replace(starter)
    return str(starter)
