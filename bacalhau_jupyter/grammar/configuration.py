"""``config list``: every config key, what it is set to here, and what this version does with it."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_jupyter.grammar.options import print_options
from bacalhau_jupyter.grammar.output import Result, Table
from bacalhau_jupyter.grammar.root import bacalhau


@bacalhau.group()
def config() -> None:
    """Look at the configuration of this machine's node and clients."""


@config.command("list")
@click.option(
    "-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE|FILE", help="Set a key, or read a file."
)
@print_options
def config_list(overrides: tuple[str, ...], **show: Any) -> Result:
    """List every key with its value, its meaning and what this version does with it."""
    from bacalhau_jupyter.config.config import Config

    settings = Config.from_sources(overrides=overrides)
    entries = [
        {
            "Key": name,
            "Value": settings.shown(name),
            "Source": settings.source(name),
            "Standing": key.standing.treatment.value,
            "Reason": key.standing.reason,
            "Description": key.meaning,
        }
        for name, key in sorted(settings.keys().items())
    ]
    rows = [
        (entry["Key"], _text(entry["Value"]), _standing(entry), entry["Description"]) for entry in entries
    ]
    return Table(("key", "value", "standing", "description"), rows, entries)


def _standing(entry: dict[str, Any]) -> str:
    return f"{entry['Standing']}: {entry['Reason']}" if entry["Reason"] else str(entry["Standing"])


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{name}={item}" for name, item in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)
