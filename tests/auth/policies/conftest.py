"""Engines for policies that a test writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.auth.policies.engine import BuiltInEngine, Engine
from bacalhau_jupyter.auth.policies.exact import OpaEngine
from bacalhau_jupyter.auth.policies.files import read_policy
from bacalhau_jupyter.auth.policies.hosting import DECISION, VALID
from tests.services.fixtures import service_or_skip
from tests.services.policies import Oracle, opa_program

StartEngine = Callable[..., Awaitable[Engine]]
ENGINES = ("built-in", "exact")


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """The engine of official nodes."""
    started = service_or_skip(Oracle)
    yield started
    started.close()


@pytest.fixture
async def start_engine(tmp_path: Path) -> AsyncIterator[StartEngine]:
    """Start an engine for a text or a file: ``start_engine(policy, kind="built-in", rules=…, limit_s=…)``."""
    engines: list[Engine] = []

    async def start(
        policy: str | Path,
        kind: str = "built-in",
        rules: tuple[str, ...] = (DECISION, VALID),
        **options: Any,
    ) -> Engine:
        path = policy if isinstance(policy, Path) else tmp_path / f"policy{len(engines)}.rego"
        if isinstance(policy, str):
            path.write_text(policy)
        read = read_policy(str(path))
        if kind == "exact":
            # Its limit counts the time in which a busy machine has no processor for it, too.
            options.setdefault("limit_s", 60.0)
            engines.append(OpaEngine(str(service_or_skip(opa_program)), read, **options))
        else:
            engines.append(BuiltInEngine(read, rules, **options))
        await engines[-1].start()
        return engines[-1]

    yield start
    for engine in engines:
        await engine.close()
