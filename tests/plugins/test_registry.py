"""Plug-ins are found through entry points; a broken one is reported and the others work."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bacalhau_jupyter.plugins import registry
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.registry import (
    BUILT_IN,
    ENGINES,
    PUBLISHERS,
    SOURCES,
    installed,
    load_engines,
    load_publishers,
    load_sources,
)

ROOT = Path(__file__).parents[2]


class Third:
    """An engine of another package."""

    type = "third"

    def __init__(self, options: PluginOptions) -> None:
        self.node_id = options.node_id


class Several:
    types = ("one", "Two")

    def __init__(self, options: PluginOptions) -> None:
        del options


def explode(options: PluginOptions) -> Any:
    raise RuntimeError("boom")


@pytest.fixture
def options(tmp_path: Path) -> PluginOptions:
    return PluginOptions(node_id="n-1", data_dir=tmp_path)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("their_plugins")
    for name, value in (("Third", Third), ("Several", Several), ("explode", explode)):
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "their_plugins", module)


def entry(name: str, value: str, group: str = ENGINES) -> EntryPoint:
    return EntryPoint(name, value, group)


def test_what_others_installed_can_be_read_once_for_many_nodes() -> None:
    foreign = installed()
    assert set(foreign) == {ENGINES, SOURCES, PUBLISHERS}
    # Ours are known without it.
    assert not [
        entry.value for entries in foreign.values() for entry in entries if "bacalhau_jupyter" in entry.value
    ]


def test_the_built_in_table_has_everything_that_is_installed() -> None:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert set(tables) == set(BUILT_IN)
    for group, table in tables.items():
        assert table.items() <= BUILT_IN[group].items()


def test_our_own_engines_are_there_even_when_the_installed_metadata_is_old(options: PluginOptions) -> None:
    loaded = load_engines(options, entries=[])
    assert {"docker", "noop"} <= set(loaded.plugins)
    assert loaded.plugins["noop"].type == "noop"
    # What is installed adds nothing to it, and nothing is found twice.
    assert set(load_engines(options, entries=entry_points(group=ENGINES)).plugins) == set(loaded.plugins)
    assert not any("another" in problem for problem in load_engines(options).problems.values())


def test_sources_stand_under_each_of_their_types_in_lower_case(options: PluginOptions) -> None:
    loaded = load_sources(options)
    assert {"inline", "localdirectory", "urldownload"} <= set(loaded.plugins)
    assert loaded.problems == {}
    assert "local" in load_publishers(options).plugins


@pytest.mark.usefixtures("plugins")
def test_a_third_party_adds_a_type(options: PluginOptions) -> None:
    loaded = load_engines(options, entries=[entry("third", "their_plugins:Third")])
    assert isinstance(loaded.plugins["third"], Third)
    assert loaded.plugins["third"].node_id == "n-1"
    sources = load_sources(options, entries=[entry("one", "their_plugins:Several", SOURCES)])
    assert sources.plugins["one"] is sources.plugins["two"]


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("no_such_package_here.x:Y", "needs the package no_such_package_here, which is not installed"),
        ("their_plugins:Nothing", "has no attribute 'Nothing'"),
        ("their_plugins:explode", "RuntimeError: boom"),
        ("their_plugins:__name__", "not callable"),
    ],
)
def test_a_broken_plug_in_is_reported_and_the_others_work(
    options: PluginOptions, value: str, sentence: str
) -> None:
    loaded = load_engines(options, entries=[entry("a-broken", value), entry("third", "their_plugins:Third")])
    assert sentence in loaded.problems["a-broken"]
    assert '"a-broken"' in loaded.problems["a-broken"]
    assert {"noop", "third"} <= set(loaded.plugins)


def test_a_missing_package_that_an_extra_of_ours_brings_names_the_extra(
    options: PluginOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.EXTRA_OF, "no_such_package_here", "docker")
    loaded = load_engines(options, entries=[entry("x", "no_such_package_here:Y")])
    assert loaded.problems["x"].endswith('pip install "bacalhau-jupyter[docker]"')


@pytest.mark.usefixtures("plugins")
def test_a_type_that_is_taken_stays_with_its_owner(options: PluginOptions) -> None:
    loaded = load_engines(options, entries=[entry("Noop", "their_plugins:Third")])
    assert loaded.plugins["noop"].type == "noop"
    assert "third" not in loaded.plugins
    assert any("the type is taken" in problem for problem in loaded.problems.values())


@pytest.mark.usefixtures("plugins")
def test_what_is_disabled_is_not_even_loaded(options: PluginOptions) -> None:
    entries = [entry("broken", "no_such_package_here:Y")]
    loaded = load_engines(options, disabled=["Docker", " NOOP ", "broken"], entries=entries)
    assert not {"docker", "noop", "broken"} & set(loaded.plugins)
    assert "broken" not in loaded.problems
    assert "local" not in load_publishers(options, disabled=["local"], entries=[]).plugins
    two_off = load_sources(
        options, disabled=["two"], entries=[entry("one", "their_plugins:Several", SOURCES)]
    )
    assert "one" in two_off.plugins
    assert "two" not in two_off.plugins


def test_every_built_in_target_is_a_module_of_ours() -> None:
    for table in (BUILT_IN[ENGINES], BUILT_IN[SOURCES], BUILT_IN[PUBLISHERS]):
        for target in table.values():
            assert importlib.util.find_spec(target.partition(":")[0]) is not None
