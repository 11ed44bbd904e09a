"""Control groups where they are delegated: in a guest, once as root and twice as a user who got a part of the tree."""

from __future__ import annotations

import pytest

from tests.engines.supervised import guest, in_guest
from tests.services.fixtures import service_or_skip

TESTS = "/source/tests/engines/process/test_groups.py /source/tests/engines/daemonless/test_groups.py"
TIMEOUT_S = 900.0
pytestmark = [pytest.mark.long, pytest.mark.root, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("place", ["root", "user", "marked"])
def test_jobs_are_limited_by_groups(python_image: str, place: str) -> None:
    command = f"/source/tests/engines/supervised/in_guest.py {place} -c /source/pyproject.toml {TESTS}"
    console = service_or_skip(lambda: guest.boot(command, timeout_s=TIMEOUT_S))
    assert in_guest.PASSED in console, console[-6000:]
    assert "skipped" not in console, console[-6000:]
