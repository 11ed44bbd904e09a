"""Which capability a request needs: by the route that it matched, never by the spelling of its path.

Officially every verb but GET needs the ``write:`` capability, HEAD included, and whatever no section owns needs
``write:node``. Routes are named as the router names them, such as ``/api/v1/orchestrator/jobs/{id}``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from bacalhau_jupyter.auth.principals import EVERYTHING, Principal
from bacalhau_jupyter.models.errors import Forbidden
from bacalhau_jupyter.models.records.cluster import PATH as CLUSTER_PATH
from bacalhau_jupyter.models.records.hosts import PATH as HOSTS_PATH
from bacalhau_jupyter.models.records.kept.images import PATH as IMAGES_PATH
from bacalhau_jupyter.models.records.node import OFFER_PATH
from bacalhau_jupyter.models.records.published import RESULTS_PATH
from bacalhau_jupyter.models.records.uploads import CONTENT_PATH
from bacalhau_jupyter.models.records.uploads import PATH as UPLOADS_PATH

NOTHING = ""
"""What open routes need."""
ANY_PRINCIPAL = "*name"
"""What a route needs that every known principal may use; it is no capability that can be granted."""

READ_JOB, WRITE_JOB = "read:job", "write:job"
READ_NODE, WRITE_NODE = "read:node", "write:node"
READ_AGENT, WRITE_AGENT = "read:agent", "write:agent"

CAPABILITIES = frozenset(
    {"*", "read:*", "write:*", READ_JOB, WRITE_JOB, READ_NODE, WRITE_NODE, READ_AGENT, WRITE_AGENT}
)
"""Everything that can be granted."""

_API = "/api/v1"
_JOBS = f"{_API}/orchestrator/jobs"

# These routes tell only which software this is and how to authenticate. The answer to a challenge is checked by
# its handler; the URLs of results and uploaded contents are signed.
_OPEN = frozenset(
    {
        "/",
        "/version",
        "/livez",
        f"{_API}/auth",
        f"{_API}/auth/{{name}}",
        f"{_API}/agent/alive",
        f"{_API}/agent/version",
        f"{_API}/agent/authconfig",
        f"{RESULTS_PATH}/{{name}}",
        f"{CONTENT_PATH}/{{sha256}}/{{name}}",
    }
)


class _Needs(NamedTuple):
    """What GET needs, and what every other verb needs."""

    read: str
    write: str


# The first section that holds a route decides.
_SECTIONS = {
    f"{_API}/agent/lease": _Needs(WRITE_JOB, WRITE_JOB),
    # Environments and packages ask for the node's own user as well (`api.http.own_user`).
    f"{_API}/agent": _Needs(READ_AGENT, WRITE_AGENT),
    f"{_API}/compute/data": _Needs(READ_JOB, WRITE_NODE),
    # Images are what jobs of everybody run in.
    IMAGES_PATH: _Needs(READ_NODE, EVERYTHING),
    f"{_API}/compute": _Needs(WRITE_NODE, WRITE_NODE),
    _JOBS: _Needs(READ_JOB, WRITE_JOB),
    f"{_API}/orchestrator/events": _Needs(READ_JOB, WRITE_JOB),
    f"{_API}/orchestrator/nodes": _Needs(READ_NODE, WRITE_NODE),
    UPLOADS_PATH: _Needs(WRITE_JOB, WRITE_JOB),
    # Who lets other machines in decides for the machine's owner, so no part of his rights is enough.
    CLUSTER_PATH: _Needs(READ_NODE, EVERYTHING),
    # A host is reached with the owner's keys, and sees what is in the jobs.
    HOSTS_PATH: _Needs(READ_NODE, EVERYTHING),
}

_EXCEPTIONS = {
    # What it removes may be anybody's.
    ("DELETE", UPLOADS_PATH): WRITE_NODE,
    # Who submits or watches jobs needs it, and neither of the two contains the other.
    ("GET", OFFER_PATH): ANY_PRINCIPAL,
    # Official servers have no such route, so their rule for HEAD has no reason here.
    ("HEAD", f"{_JOBS}/{{id}}/results/files/{{execution}}/{{path}}"): READ_JOB,
}


# What official nodes have, by the routes of ours.
_OFFICIAL = frozenset(
    {
        "",
        "/",
        "/version",
        "/livez",
        f"{_API}/auth",
        f"{_API}/auth/{{name}}",
        *(f"{_API}/agent/{it}" for it in ("alive", "version", "authconfig", "node", "debug", "config")),
        _JOBS,
        f"{_JOBS}/diff",
        f"{_JOBS}/{{id}}",
        *(f"{_JOBS}/{{id}}/{it}" for it in ("rerun", "history", "executions", "versions", "results", "logs")),
        f"{_API}/orchestrator/nodes",
        f"{_API}/orchestrator/nodes/{{id}}",
    }
)


def is_official(route: str) -> bool:
    """Whether official nodes have a route; also true for a path that matches no route."""
    return route in _OFFICIAL


def has_section(route: str) -> bool:
    """Whether somebody decided what a route needs."""
    return route in _OPEN or _needs(route) is not None


@lru_cache(maxsize=512)
def needed_capability(method: str, route: str) -> str:
    """Return the capability that a request needs.

    Parameters
    ----------
    method
        Its verb.
    route
        The route whose path it has; empty where there is none.
    """
    if route in _OPEN:
        return NOTHING
    if (method, route) in _EXCEPTIONS:
        return _EXCEPTIONS[method, route]
    needs = _needs(route)
    if needs is None:
        return WRITE_NODE
    return needs.read if method == "GET" else needs.write


def check_capability(principal: Principal, capability: str) -> None:
    """Refuse a principal that lacks a capability.

    Raises
    ------
    Forbidden
        In the official words.
    """
    if capability != ANY_PRINCIPAL and not principal.may(capability):
        raise Forbidden(
            "Request Forbidden",
            hint="Check if user have access to this resource. Event has been recorded.",
            details={
                "reason": f"user '{principal.called}' does not have the required capability '{capability}'"
            },
            component="Authorizer",
        )


def _needs(route: str) -> _Needs | None:
    for section, needs in _SECTIONS.items():
        if route == section or route.startswith(f"{section}/"):
            return needs
    return None
