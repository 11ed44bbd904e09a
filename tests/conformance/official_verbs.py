"""Write down the verbs and flags of an official client: ``python -m tests.conformance.official_verbs BINARY``.

Only names go into ``tests/data/official-verbs.json``: each verb with its flags, and whether a flag takes a value.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).parents[1] / "data" / "official-verbs.json"

_FLAG = re.compile(r"^ {2,6}(?:-(?P<short>\w), )?--(?P<long>[a-z][a-z-]*)(?P<value> \S+)? {2,}")
_COMMAND = re.compile(r"^  ([a-z][a-z-]*) +\S")
_TIMEOUT_S = 60.0


def load() -> dict[str, dict[str, bool]]:
    """Return flags by verb (``job run``; empty for the root): ``-f`` or ``--follow`` → whether it takes a value."""
    verbs: dict[str, dict[str, bool]] = json.loads(FILE.read_text())
    return verbs


def collect(binary: str, words: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, bool]]]:
    """Ask a client for its help, verb by verb."""
    sections = _sections(_help(binary, words))
    flags: dict[str, bool] = {}
    for line in [*sections.get("Flags", []), *sections.get("Global Flags", [])]:
        if flag := _FLAG.match(line):
            names = [f"--{flag['long']}", *([f"-{flag['short']}"] if flag["short"] else [])]
            flags.update({name: bool(flag["value"]) for name in names})
    yield " ".join(words), dict(sorted(flags.items()))
    for line in sections.get("Available Commands", []):
        if command := _COMMAND.match(line):
            yield from collect(binary, (*words, command[1]))


def _sections(text: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    title = ""
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            title = line.removesuffix(":")
        sections.setdefault(title, []).append(line)
    return sections


def _help(binary: str, words: tuple[str, ...]) -> str:
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "BACALHAU_DIR": home, "BACALHAU_DISABLEANALYTICS": "true"}
        done = subprocess.run(
            [binary, *words, "--help"],
            env={**environment, "BACALHAU_UPDATECONFIG_INTERVAL": "0"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    return done.stdout


if __name__ == "__main__":
    FILE.write_text(json.dumps(dict(sorted(collect(sys.argv[1]))), indent=1) + "\n")
