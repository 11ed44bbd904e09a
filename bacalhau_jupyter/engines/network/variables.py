"""What a program is told of the proxy: the variables that HTTP clients read."""

from __future__ import annotations

from collections.abc import Mapping

HOST = "127.0.0.1"
PORT = 3128
"""Where the proxy answers, inside the job's own network."""

_URL = f"http://{HOST}:{PORT}"
_ITSELF = "localhost,127.0.0.1,::1"


def with_proxy(env: Mapping[str, str]) -> dict[str, str]:
    """Return a task's environment with the proxy's variables; those of the task itself stay."""
    variables: dict[str, str] = {}
    for name, value in (("http_proxy", _URL), ("https_proxy", _URL), ("no_proxy", _ITSELF)):
        # Programs disagree about the case, and some take the one that the other sets for a mistake.
        variables |= {name: value, name.upper(): value}
    return {**variables, **env}
