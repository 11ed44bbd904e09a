"""A probed wasm engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engines.wasm.bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Skipped, with the engine's own sentence, where it does not work."""
    pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
    bench = Bench(tmp_path)
    if problem := await bench.open():
        pytest.skip(problem)
    yield bench
    await bench.close()
