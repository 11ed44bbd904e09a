"""What each changing route does, in the words of the audit log."""

from __future__ import annotations

from typing import NamedTuple

from bacalhau_jupyter.models.records.cluster import PATH as CLUSTER
from bacalhau_jupyter.models.records.environments import PATH as ENVIRONMENTS
from bacalhau_jupyter.models.records.hosts import PATH as HOSTS
from bacalhau_jupyter.models.records.kept.images import PATH as IMAGES
from bacalhau_jupyter.models.records.packages import PATH as PACKAGES
from bacalhau_jupyter.models.records.published import RESULTS_PATH
from bacalhau_jupyter.models.records.uploads import PATH as UPLOADS


class Act(NamedTuple):
    """A verb, and the kind of thing that it changes."""

    verb: str
    kind: str


_JOBS = "/api/v1/orchestrator/jobs"
_NODES = "/api/v1/orchestrator/nodes"
_AUTH = "/api/v1/auth/{name}"
_HOST_VERBS = ("test", "pause", "resume", "retry", "remove", "push", "clean")

LOG_IN, LOG_OUT = Act("log in", "session"), Act("log out", "session")

ACTS: dict[tuple[str, str], Act] = {
    ("PUT", _JOBS): Act("submit", "job"),
    ("POST", _JOBS): Act("submit", "job"),
    ("DELETE", f"{_JOBS}/{{id}}"): Act("stop", "job"),
    ("DELETE", f"{_JOBS}/{{id}}/record"): Act("delete", "job"),
    ("PUT", f"{_JOBS}/{{id}}/rerun"): Act("run again", "job"),
    ("PUT", f"{_NODES}/{{id}}"): Act("change", "node"),
    ("POST", f"{_NODES}/{{id}}"): Act("change", "node"),
    ("POST", _NODES): Act("change", "node"),
    ("POST", UPLOADS): Act("begin", "upload"),
    ("PUT", f"{UPLOADS}/{{id}}"): Act("send", "upload"),
    ("POST", f"{UPLOADS}/{{id}}/complete"): Act("complete", "upload"),
    ("DELETE", f"{UPLOADS}/{{id}}"): Act("give up", "upload"),
    ("DELETE", UPLOADS): Act("clear", "uploads"),
    ("DELETE", RESULTS_PATH): Act("clear", "results"),
    ("PUT", f"{RESULTS_PATH}/{{name}}"): Act("send", "result"),
    ("DELETE", "/api/v1/compute/inputcache"): Act("clear", "input cache"),
    ("DELETE", "/api/v1/compute/packages"): Act("clear", "packages"),
    ("POST", f"{IMAGES}/load"): Act("load", "image"),
    ("POST", f"{IMAGES}/pull"): Act("pull", "image"),
    ("POST", f"{IMAGES}/pull/stop"): Act("stop the pull of", "image"),
    ("POST", f"{IMAGES}/remove"): Act("remove", "image"),
    ("DELETE", IMAGES): Act("clear", "images"),
    ("POST", ENVIRONMENTS): Act("register", "environment"),
    ("POST", PACKAGES): Act("ask for", "packages"),
    ("PUT", f"{PACKAGES}/{{draft}}"): Act("keep", "packages"),
    ("DELETE", f"{PACKAGES}/{{draft}}"): Act("give up", "packages"),
    ("POST", f"{CLUSTER}/open"): Act("open", "cluster"),
    ("POST", f"{CLUSTER}/close"): Act("close", "cluster"),
    ("POST", f"{CLUSTER}/join"): Act("join", "cluster"),
    ("POST", f"{CLUSTER}/leave"): Act("leave", "cluster"),
    ("POST", HOSTS): Act("add", "host"),
    **{("POST", f"{HOSTS}/{{name}}/{verb}"): Act(verb, "host") for verb in _HOST_VERBS},
    ("POST", f"{HOSTS}/{{name}}/push/stop"): Act("stop the push to", "host"),
    ("POST", f"{HOSTS}/test"): Act("test", "host"),
    ("POST", _AUTH): LOG_IN,
}
"""Method and route → what it does."""

_READS = frozenset({("PUT", f"{_JOBS}/diff")})
"""Routes that change nothing, whatever their method."""

_SAFE = ("GET", "HEAD", "OPTIONS")


def act_of(method: str, route: str) -> Act | None:
    """Return what a request does; None for one that changes nothing, or has no route."""
    act = ACTS.get((method, route))
    if act is None and route and method not in _SAFE and (method, route) not in _READS:
        # Nobody has named it yet: better a plain line than none.
        return Act(method, route)
    return act
