"""Modules where people really are: a strict container, a chroot, an ordinary user's shell."""

from __future__ import annotations

import subprocess

import pytest

from tests.engines.process import container_check
from tests.engines.process.test_places import possible_or_skip

TESTS = "tests/engines/wasm"
ONLY = ["-k", "not test_places and not a_gigabyte and not test_bids and not test_library and not plain"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")


def assert_passed(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout.splitlines()[-1]


def test_modules_run_and_stay_inside_in_a_strict_container(docker_engine: str, python_image: str) -> None:
    assert_passed(
        possible_or_skip(lambda: container_check.in_docker(docker_engine, python_image, ONLY, TESTS))
    )


@pytest.mark.root
def test_modules_run_and_stay_inside_in_a_chroot(python_image: str) -> None:
    # It has no /etc/hosts.
    only = ["-k", f"{ONLY[1]} and not names_are_looked_up"]
    assert_passed(possible_or_skip(lambda: container_check.in_chroot(only, TESTS)))


@pytest.mark.root
def test_modules_run_and_stay_inside_for_an_ordinary_user() -> None:
    assert_passed(possible_or_skip(lambda: container_check.as_user(ONLY, TESTS)))
