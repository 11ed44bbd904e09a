"""The one table: every verb, flag, variable, config key and file of the documents, and what it does here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bacalhau_jupyter.config.words.commands import FLAGS, VERBS
from bacalhau_jupyter.config.words.settings import SETTINGS
from bacalhau_jupyter.config.words.surroundings import ENVIRONMENT, FILES, LEFT_IN_REPOS, VARIABLES
from bacalhau_jupyter.config.words.word import Kind, Standing, Word

WORDS: tuple[Word, ...] = (
    *VERBS,
    *FLAGS,
    *VARIABLES,
    *FILES,
    *(word for setting in SETTINGS for word in setting.words()),
)


def of(kind: Kind) -> Mapping[str, Word]:
    """Return the words of a kind by name."""
    return {word.name: word for word in WORDS if word.kind is kind}


OLD_KEYS: Mapping[str, Word] = {name.lower(): word for name, word in of(Kind.KEY).items()}
"""Keys of older versions, in lower case."""

OLD_SECTIONS = frozenset(
    ".".join(name.split(".")[:depth]) for name in OLD_KEYS for depth in range(1, name.count(".") + 1)
)
"""The sections that they stand in, in lower case."""

OLD_VARIABLES: Mapping[str, Word] = {
    name: word for name, word in of(Kind.VARIABLE).items() if word.values is not None
}
"""Variables of older versions that set keys."""


def flags_of(verb: str) -> list[Word]:
    """Return the old flags that a verb takes besides its own."""
    return [
        word
        for word in of(Kind.FLAG).values()
        if word.standing is not Standing.WORKS and (verb in word.where or "*" in word.where)
    ]


def notices_about(environ: Mapping[str, str]) -> list[str]:
    """Return what is to be said about variables that have no effect any more."""
    name = environ.get(ENVIRONMENT.name, "")
    return [ENVIRONMENT.notice] if name and name != "local" else []


def notices_about_files(directory: Path) -> list[str]:
    """Return what is to be said about the files of an old data directory."""
    files = of(Kind.FILE)
    return [files[name].notice for name in LEFT_IN_REPOS if (directory / name).exists()]
