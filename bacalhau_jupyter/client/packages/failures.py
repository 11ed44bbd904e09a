"""What uv said when it failed, as an error that a person can act on."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from bacalhau_jupyter.client.packages.targets import Target
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest

COMPONENT = "Packages"
_NO_WHEEL = re.compile(
    r"`?([A-Za-z0-9._-]+)`?(?:==\S+)? has no (?:usable )?wheels|Wheels are required for `([^`]+)`"
)
_NOT_THERE = re.compile(r"[Bb]ecause ([A-Za-z0-9._-]+) was not found in the package registry")
_NO_ACCESS = re.compile(r"index URL \((\S+)\) could not be queried due to [^()]*\((\d{3} [A-Za-z ]+)\)")
_NOT_FETCHED = re.compile(r"Failed to fetch: `?(\S+?)`?(?=\s|$)")
_CONNECTING = ("client error (Connect)", "dns error", "timed out")
_FULL = re.compile(r"No space left on device|os error 28|Disk quota exceeded")


def failure(said: str, target: Target) -> BacalhauError:
    """Turn what uv said into an error of ours."""
    lines = [re.sub(r"^(error|cause|hint):\s*", "", line.strip()) for line in said.splitlines()]
    text = " ".join(line for line in lines if line)
    if _FULL.search(said):
        return BacalhauError(
            "there is no room for the packages on this disk",
            component=COMPONENT,
            hint="free some space; the panel shows what the node keeps",
            status=507,
        )
    # Before what was not found: an index that refuses access shows no package.
    if match := _NO_ACCESS.search(text):
        return BadRequest(
            f"the index {_host(match[1])} refuses access ({match[2]})",
            component=COMPONENT,
            hint="set its user and password where the kernel runs: PIP_INDEX_URL, UV_DEFAULT_INDEX, pip.conf or netrc",
        )
    match = _NOT_FETCHED.search(text)
    if match and any(words in text for words in _CONNECTING):
        reason = re.sub(r"\s*\(os error \d+\)$", "", next(line for line in reversed(lines) if line))
        return BacalhauError(
            f"the index {_host(match[1])} can't be reached: {reason[:300]}",
            component=COMPONENT,
            hint="run the cell again when it answers; PIP_INDEX_URL, UV_DEFAULT_INDEX or pip.conf name another one",
            status=400,
        )
    if match := _NOT_THERE.search(text):
        return BadRequest(
            f"there is no package {match[1]} in the index",
            component=COMPONENT,
            hint="is it spelled as on the index? The name to import may be another one",
        )
    if "No solution found" in said or "no wheels" in said:
        if match := _NO_WHEEL.search(text):
            name = match[1] or match[2]
            return BadRequest(
                f"{name} has no wheel for {target.words}, and building it would run its code here",
                component=COMPONENT,
                hint=f"--no-binary {name} builds it inside a job; or name an image that holds it (--image), "
                "or an older version that has a wheel",
            )
        conflict = text.replace("No solution found when resolving dependencies", "").strip(" :")
        return BadRequest(
            f"no versions fit together: {conflict[:1000]}",
            component=COMPONENT,
            hint="allow other versions, or run what needs them in two cells",
        )
    return BacalhauError(
        f"the packages could not be fetched: {text[:1000] or 'uv gave no reason'}",
        component=COMPONENT,
        hint="run the cell again when the index can be reached",
        status=400,
    )


def _host(url: str) -> str:
    """Return the host and port of a URL: the rest may hold a secret."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "that was named"
    except ValueError:
        return "that was named"
