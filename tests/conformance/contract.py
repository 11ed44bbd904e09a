"""The HTTP contract as data: every route with its parameters and its body, for tests that go through all of them.

``test_fuzz`` checks that each route which the API has is here. Kinds of parameters are the keys of `values.VALUES`,
kinds of bodies those of `bodies.BODIES`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bacalhau_jupyter.api.app import build_app
from bacalhau_jupyter.api.base import ApiServices

API = "/api/v1"
JOBS, NODES = f"{API}/orchestrator/jobs", f"{API}/orchestrator/nodes"
UPLOADS = f"{API}/orchestrator/uploads"
HOSTS = f"{API}/hosts"
IMAGES = f"{API}/compute/images"


@dataclass(frozen=True)
class Route:
    """One method and path, with the kinds of its path segments, query parameters and body members."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    weight: int = 1


_PAGE = {
    "namespace": "namespace",
    "limit": "number",
    "next_token": "token",
    "order_by": "order",
    "reverse": "flag",
}
_VERSION = {"job_version": "number", "all_job_versions": "flag"}

ROUTES = [
    Route("GET", "/"),
    Route("GET", "/version"),
    Route("GET", "/livez"),
    Route("GET", f"{API}/agent/alive", {"pretty": "text"}),
    Route("GET", f"{API}/agent/version"),
    Route("GET", f"{API}/agent/node"),
    Route("GET", f"{API}/agent/debug"),
    Route("GET", f"{API}/agent/config"),
    Route("GET", f"{API}/agent/authconfig"),
    Route("GET", f"{API}/agent/lease"),
    Route("GET", f"{API}/agent/offer"),
    Route("GET", f"{API}/agent/environments"),
    Route("POST", f"{API}/agent/environments", body="python", weight=2),
    Route("POST", f"{API}/agent/packages", body="python"),
    Route("PUT", f"{API}/agent/packages/{{text}}", body="python"),
    Route("DELETE", f"{API}/agent/packages/{{text}}"),
    Route("GET", f"{API}/cluster"),
    Route("POST", f"{API}/cluster/open", body="cluster", weight=2),
    Route("POST", f"{API}/cluster/close"),
    Route("GET", f"{API}/cluster/joined"),
    Route("POST", f"{API}/cluster/join", body="joining"),
    Route("POST", f"{API}/cluster/leave", body="joining"),
    Route("GET", HOSTS, weight=2),
    Route("POST", HOSTS, body="host", weight=3),
    Route("POST", f"{HOSTS}/test", body="host"),
    Route("GET", f"{HOSTS}/{{host}}"),
    *(Route("POST", f"{HOSTS}/{{host}}/{verb}") for verb in ("test", "pause", "resume", "retry")),
    Route("POST", f"{HOSTS}/{{host}}/remove", body="host_removal"),
    Route("POST", f"{HOSTS}/{{host}}/push", body="host_image"),
    Route("POST", f"{HOSTS}/{{host}}/push/stop"),
    Route("GET", f"{HOSTS}/{{host}}/progress"),
    Route("POST", f"{HOSTS}/{{host}}/clean", body="host_cleaning"),
    Route("GET", IMAGES),
    Route("DELETE", IMAGES),
    Route("POST", f"{IMAGES}/load", body="image_file"),
    Route("POST", f"{IMAGES}/pull", body="image"),
    Route("POST", f"{IMAGES}/pull/stop", body="image"),
    Route("GET", f"{IMAGES}/pull/progress"),
    Route("POST", f"{IMAGES}/remove", body="image"),
    Route("GET", f"{API}/auth"),
    Route("GET", f"{API}/auth/{{text}}"),
    Route("POST", f"{API}/auth/{{method}}", body="authn"),
    Route("PUT", JOBS, body="submit", weight=8),
    Route("POST", JOBS, body="submit", weight=2),
    Route("GET", JOBS, {**_PAGE, "labels": "selector"}, weight=4),
    Route("PUT", f"{JOBS}/diff", body="diff", weight=3),
    Route(
        "GET",
        f"{JOBS}/{{job}}",
        {"namespace": "namespace", "job_version": "number", "include": "include"},
        weight=3,
    ),
    Route("DELETE", f"{JOBS}/{{job}}", {"namespace": "namespace", "reason": "text"}, body="stop", weight=2),
    Route("DELETE", f"{JOBS}/{{job}}/record", {"namespace": "namespace"}),
    Route("PUT", f"{JOBS}/{{job}}/rerun", body="rerun", weight=3),
    Route(
        "GET",
        f"{JOBS}/{{job}}/history",
        {
            **_VERSION,
            "namespace": "namespace",
            "since": "number",
            "event_type": "event",
            "execution_id": "execution",
            "limit": "number",
            "next_token": "token",
        },
        weight=3,
    ),
    Route("GET", f"{JOBS}/{{job}}/executions", {**_PAGE, **_VERSION}, weight=3),
    Route("GET", f"{JOBS}/{{job}}/versions", {"namespace": "namespace"}, weight=2),
    Route("GET", f"{JOBS}/{{job}}/explanation", {"namespace": "namespace"}, weight=3),
    Route(
        "GET",
        f"{JOBS}/{{job}}/results",
        {"namespace": "namespace", "local": "flag", "job_version": "number"},
        weight=2,
    ),
    Route("GET", f"{JOBS}/{{job}}/results/files", {"namespace": "namespace"}),
    Route("GET", f"{JOBS}/{{job}}/results/files/{{execution}}/{{text}}", {"namespace": "namespace"}),
    Route(
        "GET",
        f"{JOBS}/{{job}}/logs",
        {**_VERSION, "namespace": "namespace", "execution_id": "execution", "tail": "flag", "follow": "flag"},
    ),
    Route("GET", f"{API}/orchestrator/events", {"since": "number", "job": "job", "topic": "text"}),
    Route(
        "GET",
        NODES,
        {
            "labels": "selector",
            "limit": "number",
            "order_by": "order",
            "reverse": "flag",
            "filter-approval": "approval",
            "filter-status": "status",
        },
        weight=2,
    ),
    Route("POST", NODES, body="node"),
    Route("GET", f"{NODES}/{{node}}"),
    Route("PUT", f"{NODES}/{{node}}", body="node"),
    Route("POST", f"{NODES}/{{node}}", body="node"),
    Route("POST", UPLOADS, body="upload", weight=3),
    Route("DELETE", UPLOADS),
    Route("GET", f"{UPLOADS}/{{text}}"),
    Route("PUT", f"{UPLOADS}/{{text}}", body="upload"),
    Route("DELETE", f"{UPLOADS}/{{text}}"),
    Route("POST", f"{UPLOADS}/{{text}}/complete"),
    Route(
        "GET", f"{UPLOADS}/content/{{text}}/{{text}}", {"expires": "number", "signature": "text"}, weight=2
    ),
    Route("HEAD", f"{UPLOADS}/content/{{text}}/{{text}}", {"expires": "number", "signature": "text"}),
    Route("GET", f"{API}/compute/results/{{text}}", {"expires": "number", "signature": "text"}, weight=2),
    Route(
        "PUT",
        f"{API}/compute/results/{{text}}",
        {"expires": "number", "signature": "text"},
        body="upload",
    ),
    Route("DELETE", f"{API}/compute/results", {"older_than": "number"}),
    Route("DELETE", f"{API}/compute/inputcache"),
    Route("DELETE", f"{API}/compute/packages"),
    Route("GET", f"{API}/compute/data", {"uri": "uri", "limit": "number", "next_token": "token"}, weight=2),
    Route("GET", f"{API}/{{text}}/{{text}}"),
]


class _Anything:
    def __getattr__(self, name: str) -> Any:
        return _Anything()

    def __call__(self, *_: Any) -> Any:
        return _Anything()

    def __str__(self) -> str:
        return ""

    replace = __call__


def all_routes_of_the_api() -> set[tuple[str, str]]:
    """Verb and declared path of every route that a node with all roles has."""
    anything: Any = _Anything()
    services = ApiServices(*[anything] * len(dataclasses.fields(ApiServices)))
    return {
        (route.method, route.resource.canonical)
        for route in build_app(services).router.routes()
        if route.resource is not None
    }
