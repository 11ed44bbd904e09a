"""Which confinements are tried, and in which order, is a choice of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.engines.process import ProcessEngine
from bacalhau_jupyter.engines.process.tiers import TIERS, chosen_tiers
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.plugins.options import PluginOptions


def engine(tmp_path: Path, tiers: list[str] | None) -> ProcessEngine:
    settings = {"Engines.Process.Tiers": tiers}
    return ProcessEngine(PluginOptions(node_id="n-1", data_dir=tmp_path, settings=settings.get))


def test_without_a_choice_all_are_tried_best_first() -> None:
    assert [type(tier) for tier in chosen_tiers(None)] == list(TIERS.values())


async def test_a_chosen_tier_is_the_only_one_tried(tmp_path: Path) -> None:
    made = engine(tmp_path, ["landlock"])
    availability = await made.probe()
    await made.close()
    if not availability.available:
        pytest.skip(f"no Landlock here: {availability.problem}")
    assert availability.runtime.startswith("restricted process (Landlock+seccomp), ")


async def test_an_unknown_tier_switches_the_engine_off_with_the_known_names(tmp_path: Path) -> None:
    made = engine(tmp_path, ["chroot"])
    availability = await made.probe()
    await made.close()
    assert not availability.available
    assert "does not know 'chroot'" in availability.problem
    assert "bubblewrap, landlock" in availability.problem
    with pytest.raises(ConfigurationError):
        chosen_tiers(["chroot"])
