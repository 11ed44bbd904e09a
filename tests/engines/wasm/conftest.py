"""A probed wasm engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engines.wasm.bench import PLAIN, Bench


@pytest.fixture(params=["confined", "plain"])
async def bench(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """An engine with all that works here, and one with what every Unix has only.

    Skipped, with the engine's own sentence, where it does not work.
    """
    pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
    bench = Bench(tmp_path, PLAIN if request.param == "plain" else None)
    if problem := await bench.open():
        pytest.skip(problem)
    yield bench
    await bench.close()
