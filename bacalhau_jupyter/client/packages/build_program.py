"""Builds the wheel of one package with pip. It runs inside a job, in the Python that is to import the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

NO_PIP = 77
"""Exit code where the Python has no pip, and none was brought along."""
_LAST_LINES = 15
_LONGEST_LINE = 500


def main(order: Mapping[str, Any]) -> int:
    """Build what an order says; return the exit code."""
    pip = _pip(Path(order["pip"]))
    if not pip:
        _complain(["this Python has no pip to build with (neither pip nor ensurepip)"])
        return NO_PIP
    home = Path(tempfile.mkdtemp())
    requirements = home / "requirements.txt"
    requirements.write_bytes(order["requirement"].encode() + b"\n")
    if order["certificates"]:
        os.environ["SSL_CERT_FILE"] = order["certificates"]
    indexes = order["indexes"]
    if len(indexes) > 1:
        # As uv does: the first index that has the package is the one it comes from.
        indexes = [_with_package(indexes, order["name"])]
    command = [*pip, "wheel", "--no-deps", "--no-binary", order["name"], "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check", "--no-color", "--progress-bar", "off"]
    command += ["--wheel-dir", order["outputs"], "--requirement", str(requirements), *order["options"]]
    command += [word for url in indexes for word in ("--index-url", url)]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    variables.update(HOME=str(home), PIP_CONFIG_FILE=os.devnull)
    if order["certificates"]:
        # Not as an argument: pip forgets that where it fetches what the build needs.
        variables["PIP_CERT"] = str(Path(order["certificates"]).resolve())
    lines: list[bytes] = []
    with subprocess.Popen(
        command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            lines = [*lines[1 - _LAST_LINES :], line[:_LONGEST_LINE]]
    if child.returncode:
        _complain([line.decode("utf-8", "replace") for line in lines])
    return child.returncode


def _pip(brought: Path) -> list[str]:
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    wheels = [*bundled_pip(), *([brought] if brought.is_file() else [])]
    # A wheel of pip runs as it is.
    return [sys.executable, str(wheels[0] / "pip")] if wheels else []


def bundled_pip() -> list[Path]:
    """Return the wheels of pip that come with this Python."""
    bundle = find_spec("ensurepip")
    if bundle is None or not bundle.origin:
        return []
    return sorted((Path(bundle.origin).parent / "_bundled").glob("pip-*.whl"))


def _with_package(indexes: Sequence[str], name: str) -> str:
    for url in indexes[:-1]:
        try:
            urllib.request.urlopen(f"{url.rstrip('/')}/{name}/", timeout=60).close()
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        else:
            return url
    return indexes[-1]


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        sys.stderr.write(f"{line.rstrip()}\n")


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
