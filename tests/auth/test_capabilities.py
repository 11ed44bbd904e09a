"""Which capability each route needs."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.auth.capabilities import ANY_PRINCIPAL, has_section, needed_capability
from tests.conformance.contract import all_routes_of_the_api

JOBS, NODES, UPLOADS = (f"/api/v1/orchestrator/{name}" for name in ("jobs", "nodes", "uploads"))


def test_every_route_of_the_api_has_a_capability_or_is_open() -> None:
    routes = {resource for _, resource in all_routes_of_the_api()}
    assert len(routes) > 30
    assert {route for route in routes if not has_section(route)} == set()


@pytest.mark.parametrize(
    ("method", "route", "capability"),
    [
        ("GET", "/", ""),
        ("GET", "/livez", ""),
        ("POST", "/api/v1/agent/alive", ""),
        ("POST", "/api/v1/auth/{name}", ""),
        ("GET", "/api/v1/compute/results/{name}", ""),
        ("GET", UPLOADS + "/content/{sha256}/{name}", ""),
        ("GET", "/api/v1/agent/config", "read:agent"),
        ("HEAD", "/api/v1/agent/config", "write:agent"),
        ("GET", "/api/v1/agent/lease", "write:job"),
        ("GET", "/api/v1/agent/offer", ANY_PRINCIPAL),
        ("GET", JOBS, "read:job"),
        ("HEAD", JOBS, "write:job"),
        ("GET", JOBS + "/{id}/logs", "read:job"),
        ("GET", JOBS + "/{id}/explanation", "read:job"),
        ("HEAD", JOBS + "/{id}/results/files/{execution}/{path}", "read:job"),
        ("PUT", JOBS + "/{id}/rerun", "write:job"),
        ("DELETE", JOBS + "/{id}/record", "write:job"),
        ("GET", "/api/v1/orchestrator/events", "read:job"),
        ("GET", "/api/v1/compute/data", "read:job"),
        ("GET", UPLOADS + "/{id}", "write:job"),
        ("DELETE", UPLOADS + "/{id}", "write:job"),
        ("DELETE", UPLOADS, "write:node"),
        ("DELETE", "/api/v1/compute/results", "write:node"),
        ("GET", NODES, "read:node"),
        ("POST", NODES, "write:node"),
        ("GET", "/api/v1/cluster", "read:node"),
        ("POST", "/api/v1/cluster/open", "*"),
        ("POST", "/api/v1/cluster/close", "*"),
        ("GET", "/api/v1/cluster/joined", "read:node"),
        ("POST", "/api/v1/cluster/join", "*"),
        ("POST", "/api/v1/cluster/leave", "*"),
        ("GET", "/api/v1/hosts", "read:node"),
        ("GET", "/api/v1/hosts/{name}", "read:node"),
        ("POST", "/api/v1/hosts", "*"),
        ("POST", "/api/v1/hosts/test", "*"),
        ("POST", "/api/v1/hosts/{name}/remove", "*"),
        ("POST", "/api/v1/hosts/{name}/push", "*"),
        ("GET", "", "write:node"),
        ("GET", "/api/v1/orchestrator/jobsx", "write:node"),
    ],
)
def test_a_request_needs(method: str, route: str, capability: str) -> None:
    assert needed_capability(method, route) == capability
