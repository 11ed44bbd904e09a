"""Fixtures for every room's tests."""

from __future__ import annotations

import signal
from typing import Any

# Loaded before any test. Its summary would import it last of all, and parsing a module at that moment can fail with
# "AST constructor recursion depth mismatch" on early Python 3.11 (python/cpython#106905).
import hypothesis
import pytest

from tests.services.common import is_worker
from tests.services.far_host import far_host, far_machine
from tests.services.fixtures import (
    SERVICE_TIMEOUT_S,
    busybox_image,
    docker_engine,
    http_server,
    no_leaks,
    open_place,
    python_image,
    registry,
    unused_tcp_port,
    unused_tcp_port_factory,
)
from tests.services.kubo import kubo, own_kubo, private_kubo
from tests.services.nats import cuttable_link, nats_server, nats_server_program, own_nats_server
from tests.services.oidc import identity_provider
from tests.services.pebble import pebble
from tests.services.s3 import s3_credentials, s3_server
from tests.side_by_side import EngineOfWorkers, scheduler, turn_of

__all__ = [
    "busybox_image",
    "cuttable_link",
    "docker_engine",
    "far_host",
    "far_machine",
    "http_server",
    "identity_provider",
    "kubo",
    "nats_server",
    "nats_server_program",
    "no_leaks",
    "open_place",
    "own_kubo",
    "own_nats_server",
    "pebble",
    "private_kubo",
    "python_image",
    "registry",
    "s3_credentials",
    "s3_server",
    "unused_tcp_port",
    "unused_tcp_port_factory",
]

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

# Which service a fixture stands for; whoever asks for one of them, directly or through others, needs the service.
SERVICE_OF = {
    "docker_engine": "docker",
    "registry": "docker",
    "s3_server": "s3",
    "kubo": "kubo",
    "own_kubo": "kubo",
    "private_kubo": "kubo",
    "identity_provider": "oidc",
    "pebble": "pebble",
    "far_machine": "far",
    "nats_server_program": "nats",
    "browser": "browser",
}
SET_UP_ONCE = {"docker", "far", "s3", "kubo", "oidc", "pebble"}
# Fixtures that start nodes, kernels, shells or sandboxes: seconds each, and the rooms' own tests need none of them.
PROCESSES = {
    "bash",
    "bench",
    "kernel",
    "node_factory",
    "other",
    "own_node",
    "served",
    "shell",
    "tier",
    "world",
}
SERVICES = set(SERVICE_OF.values())
LONGEST_NAMED_BYTES = 40


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two choices of `./run test`: less than the default, and more."""
    group = parser.getgroup("bacalhau-jupyter")
    group.addoption(
        "--fast", action="store_true", help="leave out what needs a service, starts processes, or is slow"
    )
    group.addoption("--long", action="store_true", help="run what is marked `long` as well")


def pytest_configure(config: pytest.Config) -> None:
    """See to what workers can't: none of them knows when the others are done."""
    # A shell starts what runs in its background with Ctrl-C ignored, and what tests start would ignore it, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("numprocesses", None):
        config.pluginmanager.register(EngineOfWorkers())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let workers get their tests as `tests/side_by_side.py` says."""
    config.option.loadscopereorder = False
    return scheduler(config, log)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case with long bytes by its argument: an archive holds the time of day, and workers compare names."""
    return argname if isinstance(val, bytes) and len(val) > LONGEST_NAMED_BYTES else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a service, let its first test wait for the set-up, and leave out what was not asked for."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        services = {SERVICE_OF[name] for name in fixtures if name in SERVICE_OF}
        for service in services:
            item.add_marker(service)
        if PROCESSES.intersection(fixtures):
            item.add_marker("process")
        if services & SET_UP_ONCE:
            own = item.get_closest_marker("timeout")
            # A limit of the test's own is meant for the test: the set-up, with limits of its own, may come first.
            limit = (
                pytest.mark.timeout(*own.args, func_only=True)
                if own
                else pytest.mark.timeout(SERVICE_TIMEOUT_S)
            )
            item.add_marker(limit, append=False)
    left_out = set() if config.option.long else {"long"}
    if config.option.fast:
        left_out |= {"conformance", "long", "process", "slow"} | SERVICES
    if is_worker():
        items.sort(key=lambda item: turn_of(item.nodeid))
    excluded = [item for item in items if any(item.get_closest_marker(name) for name in left_out)]
    if excluded:
        config.hook.pytest_deselected(items=excluded)
        items[:] = [item for item in items if item not in set(excluded)]
