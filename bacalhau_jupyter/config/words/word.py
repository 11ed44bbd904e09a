"""What a word of older documents is, and what it does here."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

Values = dict[str, str]
"""Config key → value as text."""


class Kind(enum.Enum):
    """What a word names."""

    VERB = "Verbs"
    FLAG = "Flags"
    VARIABLE = "Variables"
    KEY = "Config keys"
    FILE = "Files"


class Standing(enum.Enum):
    """What a word does here."""

    WORKS = "works"
    RENAMED = "works, with a notice of its name of today"
    REPLACED = "replaced"


@dataclass(frozen=True)
class Word:
    """One word.

    Attributes
    ----------
    name
        As the documents spell it; of a flag with its dashes, of a verb without the program.
    modern
        What to write today.
    sentence
        What became of it, or what it is here.
    where
        Of a flag: the verbs that take it; ``*`` is every verb.
    values
        Of a renamed setting: turns its value into those of config keys.
    is_switch
        Whether a flag takes no value.
    """

    kind: Kind
    name: str
    standing: Standing
    modern: str = ""
    sentence: str = ""
    where: tuple[str, ...] = ()
    values: Callable[[str], Values] | None = None
    is_switch: bool = False

    @property
    def notice(self) -> str:
        """What a person who used the word is told; empty where there is nothing to say."""
        if self.standing is Standing.RENAMED:
            return f"{self.name} is {self.modern} today" + (f" ({self.sentence})" if self.sentence else "")
        return f"{self.name}: {self.sentence}" if self.standing is Standing.REPLACED else ""
