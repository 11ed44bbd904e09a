"""What the process engine finds out about the machine before it offers itself."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.process.tiers import Restricted
from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.models.errors import EngineError
from tests.engines.process.bench import Bench, make_execution


async def test_the_probe_names_the_tier(bench: Bench, tier: str) -> None:
    availability = await bench.engine.probe()
    assert availability.available
    assert availability.runtime.startswith("bubblewrap " if tier == "bubblewrap" else "restricted process (")


async def test_a_tier_that_confines_nothing_does_not_pass_the_probe(tmp_path: Path) -> None:
    class Loose(Restricted):
        label = "loose"

        def confine(self, launch):
            confined = super().confine(launch)
            confined.landlock_abi, confined.user = 0, -1
            return confined

    if problem := Restricted().problem():
        pytest.skip(problem)
    bench = Bench(tmp_path, Loose())
    assert "could read the node's own files" in await bench.open()
    bid = await bench.engine.bid(make_execution(["true"]))
    assert not bid.accepted
    with pytest.raises(EngineError, match="can't confine"):
        await bench.engine.start(bench.request(["true"]))
    await bench.close()


async def test_without_any_tier_the_engine_is_off_and_says_why(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Restricted(abi=0))
    problem = await bench.open()
    assert "no Landlock" in problem
    assert not (await bench.engine.bid(make_execution(["true"]))).accepted


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5])
async def test_an_older_landlock_still_keeps_signals_and_truncation_inside(tmp_path: Path, abi: int) -> None:
    """What old kernels' Landlock lets through is refused by the filter instead (as an ordinary user)."""
    bench = Bench(tmp_path, Restricted(abi=abi))
    if problem := await bench.open():
        pytest.skip(problem)
    file = tmp_path / "open-to-all"
    file.write_text("content")
    file.chmod(0o666)
    bystander = subprocess.Popen(["sleep", "600"])
    code = """
    import os, sys
    pid, path = int(sys.argv[1]), sys.argv[2]
    for act in (lambda: os.kill(pid, 9), lambda: os.truncate(path, 0), lambda: os.open(path, os.O_TRUNC)):
        try:
            act(); print("REACHED")
        except OSError as error:
            print("refused", error)
    """
    try:
        result = await bench.python(textwrap.dedent(code), str(bystander.pid), str(file))
        if host.is_root():  # another uid: ownership guards the process, the filter is not needed
            assert "REACHED" not in result.stdout.splitlines()[0]
        else:
            assert "REACHED" not in result.stdout
            assert file.read_text() == "content"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait(timeout=30)
        await bench.close()
