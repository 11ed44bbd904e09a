"""Install the operating-system packages that the test services need: Debian and Ubuntu, as root.

Run as ``python tests/services/install.py``. Elsewhere it says in one sentence what is missing and ends well: the tests
then skip (or, with CI=true, fail) one by one, each with its reason.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.services.common import ServiceUnavailableError, is_root, run

# command that shows a package is there → the package that brings it
PACKAGES = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "docker-registry": "docker-registry",
    "busybox": "busybox-static",
    "debootstrap": "debootstrap",
    "chromium": "chromium",
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
}
UPDATE_TIMEOUT_S = 300.0
INSTALL_TIMEOUT_S = 900.0


def missing_packages() -> list[str]:
    """Return the packages whose command is not on the path."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [package for command, package in PACKAGES.items() if shutil.which(command, path=search) is None]


def install(packages: list[str]) -> None:
    """Install packages, as root on Debian or Ubuntu.

    Raises
    ------
    ServiceUnavailableError
        That failed.
    """
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # The packages' own start scripts would start a second engine; ours is started by the tests, when they need it.
    no_start = Path("/usr/sbin/policy-rc.d")
    written = not no_start.exists()
    try:
        if written:
            no_start.write_text("#!/bin/sh\nexit 101\n")
            no_start.chmod(0o755)
        run(["apt-get", "update", "-q"], timeout_s=UPDATE_TIMEOUT_S, env=environment)
        command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
        run(command, timeout_s=INSTALL_TIMEOUT_S, env=environment)
    finally:
        if written:
            no_start.unlink(missing_ok=True)


def main() -> int:
    """Install what is missing; 0 when nothing is missing or nothing can be done, 1 when an installation failed."""
    missing = missing_packages()
    if not missing:
        return 0
    if not is_root() or shutil.which("apt-get") is None:
        sys.stderr.write(f"tests: not installed: {', '.join(missing)} (only root on Debian or Ubuntu can)\n")
        return 0
    try:
        install(missing)
    except ServiceUnavailableError as error:
        sys.stderr.write(f"tests: {error}\n")
        return 1
    sys.stderr.write(f"tests: installed {', '.join(missing)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
