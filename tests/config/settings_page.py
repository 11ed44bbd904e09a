"""The page docs/configuration.md, made from the table of keys: ``python -m tests.config.settings_page`` writes it."""

from __future__ import annotations

import textwrap
from itertools import groupby
from pathlib import Path

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.key import Key
from bacalhau_jupyter.config.keys import KEYS

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

_WIDTH = 100
_HEAD = """\
# Configuration

This page is made from `bacalhau_jupyter/config/keys`; a test fails when the two differ.
`bacalhau-jupyter config list` shows the same with the values that are in effect on this machine.

A key is set, the later winning, in `config.yaml` of the data directory, by the variable
`BACALHAU_` + its name in capitals with `_` for `.` (`BACALHAU_API_PORT`), by the flag of a command
that has one, or by `-c Key=Value`. Names ignore case.

* **honoured**: the key does what it says.
* **refused**: a node does not start while the key differs from its default. It would have no effect
  here, and security or data may depend on it.
* **ignored**: the key is accepted and has no effect; the reason is given.

Keys marked + are ours; official Bacalhau does not know them. A full official configuration, which
carries every key with its default, is accepted as it is.
"""


def page() -> str:
    """Return the text of the page."""
    defaults = Config()
    parts = [_HEAD]
    for section, keys in groupby(sorted(KEYS.values(), key=_section), key=_section):
        parts.append(
            f"## {section or 'The node'}\n\n" + "\n".join(_entry(key, defaults) for key in keys) + "\n"
        )
    return "\n".join(parts)


def _section(key: Key) -> str:
    return key.name.partition(".")[0] if "." in key.name else ""


def _entry(key: Key, defaults: Config) -> str:
    default = "~/.bacalhau" if key.name == "DataDir" else _plain(defaults.shown(key.name))
    mark = " +" if key.ours else ""
    text = f"* `{key.name}`{mark} ({key.kind.value}; default {default}; **{key.standing.treatment.value}**"
    text += f": {key.standing.reason})" if key.standing.reason else ")"
    return "\n".join(
        textwrap.wrap(
            f"{text}. {key.meaning}.",
            _WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def _plain(value: object) -> str:
    if value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
