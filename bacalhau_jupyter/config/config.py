"""The effective configuration: from where each value comes, and how it is shown.

Later wins: defaults, config files in their order, environment, flags, ``-c Key=Value``.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bacalhau_jupyter.config.files import expanded
from bacalhau_jupyter.config.keys import EMPTY_SECTIONS, KEYS, SECTIONS, Key, Kind
from bacalhau_jupyter.config.parsing import known_key, modern_values, parse_value, read_file, values_of
from bacalhau_jupyter.config.repo import NODE_MARKER
from bacalhau_jupyter.config.words.notices import tell
from bacalhau_jupyter.config.words.table import OLD_VARIABLES, notices_about
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.lib.masking import mask_secrets
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.goduration import format_go_duration

__all__ = ["FILE_NAME", "MARKED_KEYS", "MASK", "NODE_MARKER", "Config"]

MARKED_KEYS = ("API.Host", "API.Port", "API.TLS.UseTLS", "API.TLS.CAFile")
MASK = "********"
FILE_NAME = "config.yaml"
_MEMBERS = ("Alias", "Username", "Password", "APIKey", "Capabilities")
_SECRET_MEMBERS = ("Password", "APIKey")


class Config:
    """Effective configuration. ``config["API.Port"]`` is a Python value; keys ignore case.

    Texts are `str`, flags `bool`, numbers and ports `int`, durations `float` seconds, sizes `int` bytes, lists
    ``list[str]``, maps ``dict[str, str]``.

    Parameters
    ----------
    values
        Values by key name; what is missing has its default.
    sources
        Where each of them comes from, in words.
    """

    def __init__(
        self, values: Mapping[str, Any] | None = None, sources: Mapping[str, str] | None = None
    ) -> None:
        self._values: dict[str, Any] = {}
        self._sources: dict[str, str] = {}
        for name, value in (values or {}).items():
            key = known_key(name)
            source = (sources or {}).get(name, "argument")
            self._values[key.name] = parse_value(key, value, source)
            self._sources[key.name] = source
        self._values["DataDir"] = _absolute(self._values.get("DataDir", KEYS["DataDir"].default))

    @classmethod
    def from_sources(
        cls,
        *,
        files: Iterable[str | Path] = (),
        environ: Mapping[str, str] | None = None,
        flags: Mapping[str, Any] | None = None,
        overrides: Iterable[str] = (),
        server: bool = False,
    ) -> Config:
        """Put a configuration together.

        Parameters
        ----------
        files
            Config files, the later ones winning. With none, ``config.yaml`` of the data directory is read if there.
        environ
            Environment; defaults to the process's own.
        flags
            Values of dedicated flags by key name; None means "not given".
        overrides
            What ``-c`` got: ``Key=Value``, the bare name of a true-or-false key, or the path of a config file.
        server
            Whether a node is being configured: API address variables that carry the mark of a Jupyter server
            describe that server's node and are ignored.

        Raises
        ------
        ConfigurationError
            An unknown key, a value of the wrong kind, or an unreadable file; key and source are named.
        """
        environ = os.environ if environ is None else environ
        for sentence in notices_about(environ):
            tell(sentence)
        set_by, more_files = _overrides(overrides)
        layers = [
            (name, value, source)
            for layer in (
                _environment(environ, server),
                _flags(flags),
                set_by,
            )
            for name, value, source in layer
        ]
        paths = [Path(path).expanduser() for path in [*files, *more_files]]
        if not paths:
            chosen = {name: value for name, value, _ in layers}.get("DataDir", KEYS["DataDir"].default)
            standard = Path(_absolute(chosen)) / FILE_NAME
            paths = [standard] if _is_there(standard) else []
        merged = [
            (name, value, str(path)) for path in paths for name, value in read_file(path).items()
        ] + layers
        return cls({name: value for name, value, _ in merged}, {name: source for name, _, source in merged})

    def __getitem__(self, name: str) -> Any:
        key = known_key(name)
        return copy.deepcopy(self._values.get(key.name, key.default))

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or ``default`` when it is not set."""
        key = known_key(name)
        return self[key.name] if default is None or key.name in self._sources else default

    def __iter__(self) -> Iterator[str]:
        return iter(KEYS)

    def source(self, name: str) -> str:
        """Where a value comes from: ``default``, a file's path, a variable, a flag or ``-c``."""
        return self._sources.get(known_key(name).name, "default")

    def keys(self) -> Mapping[str, Key]:
        """Return every key by its exact name, as `dict` does."""
        return KEYS

    def shown(self, name: str) -> Any:
        """Return a value as it is shown to people: durations and sizes as text, secrets masked."""
        key = known_key(name)
        return _shown(key, self[key.name])

    def changed(self) -> list[Key]:
        """Return the keys whose value differs from the default, in the order of the table."""
        return [key for key in KEYS.values() if self[key.name] != key.default]

    def replace(self, values: Mapping[str, Any]) -> Config:
        """Return a copy with other values."""
        sources = {**self._sources, **{known_key(name).name: "argument" for name in values}}
        new = {known_key(name).name: value for name, value in values.items()}
        return Config({**self._values, **new}, sources)

    @property
    def data_dir(self) -> Path:
        """The repo directory, absolute."""
        return Path(self["DataDir"])

    def section(self, name: str) -> dict[str, Any]:
        """Return the values below a section as nested dicts with exact names.

        Raises
        ------
        ConfigurationError
            The section does not exist.
        """
        prefix = name.lower() + "."
        if name.lower() not in SECTIONS:
            raise ConfigurationError(f"there is no config section {name}")
        tree: dict[str, Any] = {}
        for key in KEYS.values():
            if key.name.lower().startswith(prefix):
                _plant(tree, key.name[len(prefix) :], self[key.name])
        return tree

    def job_defaults(self) -> dict[str, dict[str, Any]]:
        """Return what a job that says nothing gets, by job type (lower case); time-outs in whole seconds."""
        defaults = {}
        for kind, tree in self.section("JobDefaults").items():
            timeouts = tree["Task"].get("Timeouts", {})
            tree["Task"]["Timeouts"] = {name: int(seconds) for name, seconds in timeouts.items()}
            defaults[kind.lower()] = tree
        return defaults

    def tree(self) -> dict[str, Any]:
        """Return every value as it is shown, in sections, as a config file has them."""
        tree: dict[str, Any] = {}
        for name in KEYS:
            _plant(tree, name, self.shown(name))
        return tree

    def to_wire(self) -> dict[str, Any]:
        """Return the configuration in the API's form: empty leaves left out, Go durations, secrets masked."""
        tree: dict[str, Any] = {}
        for section in EMPTY_SECTIONS:
            _plant(tree, section, {})
        for key in KEYS.values():
            *sections, _ = key.name.split(".")
            if sections:
                _plant(tree, ".".join(sections), {})
            value = self[key.name]
            if value or key.ours or key.name == "API.TLS.Insecure":
                _plant(tree, key.name, _shown(key, value))
        return tree


def _environment(environ: Mapping[str, str], server: bool) -> Iterator[tuple[str, Any, str]]:
    marked = server and bool(environ.get(NODE_MARKER))
    for name, word in OLD_VARIABLES.items():
        if environ.get(name):
            tell(word.notice)
            yield from ((key.name, value, name) for key, value in values_of(word, environ[name], name))
    level = environ.get("LOG_LEVEL", "").lower()
    # Many programs read this name, and some know other levels: what is not one of ours is not meant for us.
    if level in KEYS["Logging.Level"].choices:
        yield "Logging.Level", level, "LOG_LEVEL"
    mode = environ.get("LOG_TYPE", "").lower()
    if mode in KEYS["Logging.Mode"].choices:
        yield "Logging.Mode", mode, "LOG_TYPE"
    for key in KEYS.values():
        text = environ.get(key.variable)
        if text and not (marked and key.name in MARKED_KEYS):
            yield key.name, parse_value(key, text, key.variable), key.variable
    if environ.get("BACALHAU_DIR"):
        yield "DataDir", environ["BACALHAU_DIR"], "BACALHAU_DIR"


def _flags(flags: Mapping[str, Any] | None) -> Iterator[tuple[str, Any, str]]:
    for name, value in (flags or {}).items():
        if value is not None:
            key = known_key(name, "flag")
            yield key.name, parse_value(key, value, "flag"), "flag"


def _overrides(texts: Iterable[str]) -> tuple[list[tuple[str, Any, str]], list[str]]:
    """Split what ``-c`` got into values and files."""
    values, files = [], []
    for text in texts:
        name, equals, value = text.partition("=")
        old = modern_values(name, value if equals else "true", "-c")
        if old is not None:
            if not equals and any(key.kind is not Kind.FLAG for key, _ in old):
                raise ConfigurationError(f"-c {name} needs a value: -c {name}=…")
            values += [(key.name, item, "-c") for key, item in old]
        elif equals:
            key = known_key(name, "-c")
            values.append((key.name, parse_value(key, value, "-c"), "-c"))
        elif text.endswith((".yaml", ".yml", ".json")) or "/" in text:
            files.append(text)
        else:
            key = known_key(text, "-c")
            if key.kind is not Kind.FLAG:
                raise ConfigurationError(f"-c {key.name} needs a value: -c {key.name}=…")
            values.append((key.name, True, "-c"))
    return values, files


def _is_there(path: Path) -> bool:
    """Whether the file exists; one that can't even be looked at counts, so that reading it says why."""
    try:
        return path.is_file()
    except OSError:
        return True


def _absolute(path: str) -> str:
    if not path.strip():
        raise ConfigurationError("data dir path is empty", hint="Provide a valid path for the data directory")
    if "$" in path:
        raise ConfigurationError(
            f"data dir path \"{path}\" contains a '$' character",
            hint="Environment variables in it are not expanded",
        )
    return str(expanded(path))


def _plant(tree: dict[str, Any], name: str, value: Any) -> None:
    *sections, leaf = name.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    if value == {}:
        tree.setdefault(leaf, {})
    else:
        tree[leaf] = value


def _shown(key: Key, value: Any) -> Any:
    if key.secret and value:
        return MASK
    if key.kind is Kind.TEXT and isinstance(value, str):
        return mask_secrets(value)
    if key.kind is Kind.LIST:
        return [mask_secrets(item) if isinstance(item, str) else item for item in value]
    if key.kind is Kind.DURATION:
        return format_go_duration(value)
    if key.kind is Kind.RECORDS:
        return [_shown_record(record) for record in value]
    return value


def _shown_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record under its official names, in the official order; what has no official name may be a secret."""
    members = folded(record)
    shown = {name: members.pop(name.lower()) for name in _MEMBERS if members.get(name.lower())}
    shown |= {name: MASK for name in _SECRET_MEMBERS if name in shown}
    return shown | {name: MASK for name, item in members.items() if item}
