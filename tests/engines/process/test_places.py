"""The attacks once more where people really are: a strict container, a chroot, an ordinary user's shell."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.process import ProcessEngine
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.engines.process import container_check
from tests.services.common import ServiceUnavailableError

ONLY = [
    "-k",
    "test_attacks or test_neighbours or test_whole or test_system_calls or restarted or probe or body",
]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def possible_or_skip(
    check: Callable[[], subprocess.CompletedProcess[str]],
) -> subprocess.CompletedProcess[str]:
    """Run a check; skip where it takes root or another Python, which no service can bring."""
    try:
        return check()
    except ServiceUnavailableError as reason:
        pytest.skip(str(reason))


def assert_passed(done: subprocess.CompletedProcess[str], tier: str) -> None:
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"tier: {tier}" in done.stdout
    assert " passed" in done.stdout


def test_a_strict_container_gets_the_restricted_tier(docker_engine: str, python_image: str) -> None:
    done = possible_or_skip(lambda: container_check.in_docker(docker_engine, python_image, ONLY))
    assert_passed(done, "restricted process (Landlock+seccomp)")


@pytest.mark.root
def test_a_chroot_gets_the_restricted_tier(python_image: str) -> None:
    done = possible_or_skip(lambda: container_check.in_chroot(ONLY))
    assert_passed(done, "restricted process (Landlock+seccomp)")


@pytest.mark.root
def test_an_ordinary_user_gets_bubblewrap(tmp_path: Path) -> None:
    settings = {"Engines.Process.Tiers": ["bubblewrap"]}
    engine = ProcessEngine(PluginOptions(node_id="n-1", data_dir=tmp_path, settings=settings.get))
    availability = asyncio.run(engine.probe())
    if not availability.available:
        pytest.skip(f"bubblewrap does not work on this machine: {availability.problem}")
    done = possible_or_skip(lambda: container_check.as_user(ONLY))
    assert_passed(done, "bubblewrap")
