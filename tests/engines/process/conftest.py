"""The tiers that work on this machine, each with a bench of its own."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.engines.process.bench import SYSTEM_PYTHON, TIERS, Bench


@pytest.fixture(params=sorted(TIERS))
def tier(request: pytest.FixtureRequest) -> str:
    """A tier's name."""
    return str(request.param)


@pytest.fixture
async def bench(tier: str, open_place: Path) -> AsyncIterator[Bench]:
    """A probed engine of one tier; skipped, with the engine's own sentence, where the tier does not work."""
    if SYSTEM_PYTHON is None:
        pytest.skip("no Python in the system directories")
    bench = Bench(open_place, TIERS[tier]())
    problem = await bench.open()
    if problem:
        pytest.skip(problem)
    yield bench
    await bench.close()


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the node's user, with a secret in its environment."""
    process = subprocess.Popen(
        [SYSTEM_PYTHON or "python3", "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        env={"SECRET": "the-secret-of-a-process"},
    )
    yield process
    process.kill()
    process.communicate(timeout=30)
