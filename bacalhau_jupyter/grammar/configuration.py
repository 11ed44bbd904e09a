"""``config``: what every key is set to here and what this version does with it; and setting one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.output import Result, Table, Text
from bacalhau_jupyter.grammar.root import bacalhau
from bacalhau_jupyter.grammar.session import overrides, without_directory
from bacalhau_jupyter.models.errors import BadRequest

if TYPE_CHECKING:
    from bacalhau_jupyter.config.config import Config
    from bacalhau_jupyter.config.repo import Repo


@bacalhau.group()
def config() -> None:
    """Show and change the configuration of the node and clients of this machine."""


@config.command("set")
@click.argument("words", nargs=-1, required=True, metavar="KEY=VALUE...")
@click.option("-c", "--config", "file", default=None, metavar="FILE", help="The file (default: config.yaml).")
@click.option("--data-dir", default=None, metavar="DIR", help="Directory of config.yaml (BACALHAU_DIR).")
def config_set(words: tuple[str, ...], file: str | None, data_dir: str | None) -> Result:
    """Set keys in config.yaml of the data directory; a running node reads it when it starts again."""
    from bacalhau_jupyter.config.config import FILE_NAME
    from bacalhau_jupyter.config.editing import set_values
    from bacalhau_jupyter.config.repo import Repo
    from bacalhau_jupyter.config.words.notices import tell

    # KEY VALUE…, with a space, is how older versions of the official command took one.
    if len(words) >= 2 and "=" not in words[0]:
        tell("config set takes KEY=VALUE today")
        words = (f"{words[0]}={','.join(words[1:])}",)
    pairs = {name: value for name, equals, value in (word.partition("=") for word in words) if equals}
    if len(pairs) != len(words):
        raise BadRequest(
            "config set needs each key once, with a value", hint="config set API.Port=1299 WebUI.Enabled=true"
        )
    if file:
        path = Path(file).expanduser()
        set_values(path, pairs)
        return Text(f"Wrote {path}")
    repo = Repo.open(data_dir)
    set_values(repo.path / FILE_NAME, pairs)
    return _written(repo)


@config.command("auto-resources")
@click.option(
    "--total-percentage",
    type=click.IntRange(1, 100),
    default=80,
    help="Share of this machine that all jobs together may use.",
)
@click.option("--force", is_flag=True, help="Also where the keys are set already.")
@click.option("--data-dir", default=None, metavar="DIR", help="Directory of config.yaml (BACALHAU_DIR).")
def config_auto_resources(total_percentage: int, force: bool, data_dir: str | None) -> Result:
    """Give jobs a share of this machine: sets Compute.AllocatedCapacity in config.yaml."""
    from bacalhau_jupyter.config.config import FILE_NAME
    from bacalhau_jupyter.config.editing import set_values
    from bacalhau_jupyter.config.parsing import read_file
    from bacalhau_jupyter.config.repo import Repo

    repo = Repo.open(data_dir or without_directory(overrides())[1])
    path = repo.path / FILE_NAME
    known = read_file(path) if path.exists() else {}
    names = [f"Compute.AllocatedCapacity.{name}" for name in ("CPU", "Memory", "Disk", "GPU")]
    if not force and (present := [name for name in names if name in known]):
        raise BadRequest(f"{path} sets {present[0]} already", hint="--force replaces it")
    set_values(path, dict.fromkeys(names, f"{total_percentage}%"))
    return _written(repo, f": jobs may use {total_percentage} % of this machine")


@config.command("default")
@print_options
def config_default(**show: Any) -> Result:
    """List every key with its default."""
    from bacalhau_jupyter.config.config import Config

    return _listing(Config())


@config.command("list")
@print_options
def config_list(**show: Any) -> Result:
    """List every key with its value, its meaning and what this version does with it."""
    from bacalhau_jupyter.config.config import Config

    return _listing(Config.from_sources(overrides=overrides()))


def _written(repo: Repo, meaning: str = "") -> Text:
    """Say which file was written, and that a node which runs does not know it yet."""
    from bacalhau_jupyter.config.config import FILE_NAME
    from bacalhau_jupyter.config.election import read_record

    lines = [f"Wrote {repo.path / FILE_NAME}{meaning}"]
    if (node := read_record(repo)) is not None:
        lines.append(
            f"The node that runs (process {node.pid}) reads it at its next start: `kill {node.pid}` ends it, "
            "JupyterLab or the next cell starts it again, and running jobs go on."
        )
    return Text("\n".join(lines))


def _listing(settings: Config) -> Table:
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
        (entry["Key"], _text(entry["Value"]), entry["Description"], _standing(entry)) for entry in entries
    ]
    # As YAML it is a config file, as officially.
    as_file = click.get_current_context().params["form"] == "yaml"
    records = settings.tree() if as_file else entries
    return Table(("key", "value", "description", "standing"), rows, records)


def _standing(entry: dict[str, Any]) -> str:
    return f"{entry['Standing']}: {entry['Reason']}" if entry["Reason"] else str(entry["Standing"])


def _inner(value: object) -> str:
    """Write a member as a config file takes it, never as Python shows it."""
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(_inner(item) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{name}={_inner(item)}" for name, item in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)
