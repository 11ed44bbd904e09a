"""Finds engines, sources and publishers: one entry point per wire type, from us or from anybody.

A plug-in is a callable that takes `PluginOptions` and returns an `Engine`, `Source` or `Publisher`. One that
can't be loaded is reported with a sentence and does not keep the node from starting.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bacalhau_jupyter.plugins.engine import Engine
from bacalhau_jupyter.plugins.options import PluginOptions

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.publisher import Publisher
    from bacalhau_jupyter.plugins.source import Source

ENGINES = "bacalhau_jupyter.engines"
SOURCES = "bacalhau_jupyter.sources"
PUBLISHERS = "bacalhau_jupyter.publishers"

# The same table as in pyproject.toml: an editable install keeps the metadata of the day it was made.
BUILT_IN: dict[str, dict[str, str]] = {
    ENGINES: {
        "docker": "bacalhau_jupyter.engines.containers:Containers",
        "noop": "bacalhau_jupyter.engines.noop:NoopEngine",
        "process": "bacalhau_jupyter.engines.process:ProcessEngine",
        "wasm": "bacalhau_jupyter.engines.wasm:WasmEngine",
    },
    SOURCES: {
        "inline": "bacalhau_jupyter.sources.inline:InlineSource",
        "ipfs": "bacalhau_jupyter.sources.ipfs:IpfsSource",
        "localDirectory": "bacalhau_jupyter.sources.local:LocalDirectorySource",
        "pythonPackages": "bacalhau_jupyter.sources.packages:PythonPackagesSource",
        "s3": "bacalhau_jupyter.sources.s3:S3Source",
        "urlArchive": "bacalhau_jupyter.sources.archive:UrlArchiveSource",
        "urlDownload": "bacalhau_jupyter.sources.url:UrlDownloadSource",
    },
    PUBLISHERS: {
        "ipfs": "bacalhau_jupyter.publishers.ipfs:IpfsPublisher",
        "local": "bacalhau_jupyter.publishers.local:LocalPublisher",
        "noop": "bacalhau_jupyter.publishers.noop:NoopPublisher",
        "s3": "bacalhau_jupyter.publishers.s3:S3Publisher",
        "s3managed": "bacalhau_jupyter.publishers.s3managed:S3ManagedPublisher",
    },
}
OWN_DISTRIBUTION = "bacalhau-jupyter"
EXTRA_OF = {"docker": "docker", "boto3": "s3", "wasmtime": "wasm"}
"""Which extra of ours brings a package that may be missing."""

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """Plug-ins by their wire type in lower case, and a sentence for each that can't be used.

    A source that serves several types stands under each of them.
    """

    plugins: dict[str, T] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def installed() -> dict[str, list[EntryPoint]]:
    """Return the entry points of others by group; reading what is installed takes a while, so do it once."""
    every = entry_points()
    return {
        group: [entry for entry in every.select(group=group) if not _is_ours(entry, own)]
        for group, own in BUILT_IN.items()
    }


def load_engines(
    options: PluginOptions, disabled: Collection[str] = (), entries: Iterable[EntryPoint] | None = None
) -> Loaded[Engine]:
    """Create every engine that is not in ``disabled`` (``Engines.Disabled``)."""
    return _load(ENGINES, options, disabled, entries, lambda engine: (engine.type,))


def load_sources(
    options: PluginOptions, disabled: Collection[str] = (), entries: Iterable[EntryPoint] | None = None
) -> Loaded[Source]:
    """Create every source that is not in ``disabled`` (``InputSources.Disabled``)."""
    return _load(SOURCES, options, disabled, entries, lambda source: source.types)


def load_publishers(
    options: PluginOptions, disabled: Collection[str] = (), entries: Iterable[EntryPoint] | None = None
) -> Loaded[Publisher]:
    """Create every publisher that is not in ``disabled`` (``Publishers.Disabled``)."""
    return _load(PUBLISHERS, options, disabled, entries, lambda publisher: (publisher.type,))


def _load(
    group: str,
    options: PluginOptions,
    disabled: Collection[str],
    entries: Iterable[EntryPoint] | None,
    types_of: Callable[[Any], Iterable[str]],
) -> Loaded[Any]:
    """Create the plug-ins of ``group``; ``entries`` are the installed entry points unless given."""
    off = {name.strip().lower() for name in disabled}
    loaded: Loaded[Any] = Loaded()
    for name, factory, owner in _factories(group, entry_points(group=group) if entries is None else entries):
        kind = name.lower()
        if kind in off:
            continue
        if kind in loaded.plugins:
            loaded.problems[f"{kind} ({owner})"] = (
                f'{owner} brings another "{name}", which is not used: the type is taken'
            )
            continue
        try:
            plugin = factory()(options)
            types = {kind, *(text.lower() for text in types_of(plugin))} - off
        except Exception as error:
            # A third party's code may raise anything; the node starts without it.
            loaded.problems[kind] = _problem(name, owner, error)
            continue
        for text in types:
            loaded.plugins.setdefault(text, plugin)
    return loaded


def _factories(
    group: str, entries: Iterable[EntryPoint]
) -> list[tuple[str, Callable[[], Callable[[PluginOptions], Any]], str]]:
    """Return ``(name, loader, owner)``: our own first, whatever the installed metadata says."""
    own = BUILT_IN[group]
    factories = [(name, _loader(target), OWN_DISTRIBUTION) for name, target in own.items()]
    others = sorted(entries, key=lambda entry: (entry.name, entry.value))
    factories += [(entry.name, entry.load, _owner(entry)) for entry in others if not _is_ours(entry, own)]
    return factories


def _is_ours(entry: EntryPoint, own: Mapping[str, str]) -> bool:
    """Whether an entry point is of the table above, as it is or as it was on the day of an editable install."""
    return entry.value in own.values() or (_owner(entry) == OWN_DISTRIBUTION and entry.name in own)


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module


def _loader(target: str) -> Callable[[], Callable[[PluginOptions], Any]]:
    module, _, attribute = target.partition(":")
    return lambda: getattr(importlib.import_module(module), attribute)


def _problem(name: str, owner: str, error: Exception) -> str:
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing and (extra := EXTRA_OF.get(missing)):
        return f'"{name}" needs the package {missing}: pip install "bacalhau-jupyter[{extra}]"'
    if missing and missing != "bacalhau_jupyter":
        return f'"{name}" of {owner} needs the package {missing}, which is not installed'
    return f'"{name}" of {owner} can\'t be loaded: {type(error).__name__}: {error}'
