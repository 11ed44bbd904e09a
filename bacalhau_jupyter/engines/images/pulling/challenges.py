"""What a registry wants from those who ask: ``WWW-Authenticate``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_LONGEST = 8192


@dataclass(frozen=True)
class Challenge:
    """One way to log in: ``scheme`` is ``basic`` or ``bearer``."""

    scheme: str
    realm: str = ""
    service: str = ""


def read_challenges(headers: list[str]) -> list[Challenge]:
    """Return the ways that are offered; those that can't be understood are left out."""
    challenges = []
    for header in headers:
        text = header[:_LONGEST].strip()
        scheme, _, rest = text.partition(" ")
        if scheme.lower() not in ("basic", "bearer"):
            continue
        parameters: dict[str, str] = {}
        position = 0
        while match := _PARAMETER.match(rest, position):
            value = match[2] if match[2] is not None else match[3]
            parameters.setdefault(match[1].lower(), re.sub(r"\\(.)", r"\1", value))
            position = match.end()
        challenges.append(
            Challenge(scheme.lower(), parameters.get("realm", ""), parameters.get("service", ""))
        )
    return challenges
