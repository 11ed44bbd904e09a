"""Flags shared by several verbs, declared once; names and meanings are the official CLI's."""

from __future__ import annotations

import csv
import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.types import NETWORKS, SECONDS, WholeNumber
from bacalhau_jupyter.models.errors import BadRequest

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.client.jobs.options import JobOptions
    from bacalhau_jupyter.client.packages.requirements import Required

F = TypeVar("F", bound=Callable[..., Any])

_PAIR = re.compile(r"\s*[A-Za-z_][\w.-]*\s*=")
"""How ``NAME=VALUE`` begins."""


def _stack(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        wrapped: Any = function
        for decorator in reversed(decorators):
            wrapped = decorator(wrapped)
        return cast(F, wrapped)

    return apply


def spec_options(*, output_flag: bool = True) -> Callable[[F], F]:
    """Flags that shape a job: inputs, outputs, resources, placement, limits."""
    decorators: list[Callable[[Any], Any]] = [
        click.option(
            "-i",
            "--input",
            "inputs",
            multiple=True,
            metavar="URI[:TARGET]",
            shell_complete=completing.inputs,
            help="Mount an input.",
        ),
        click.option(
            "-p",
            "--publisher",
            default=None,
            metavar="WHERE",
            shell_complete=completing.publishers,
            help="Where results go (default: local).",
        ),
        click.option(
            "-e",
            "--env",
            multiple=True,
            metavar="K[=V]",
            shell_complete=completing.environment,
            help="Set an environment variable (A=1,B=2: two); without a value, pass on the one from here.",
        ),
        click.option("-l", "--labels", multiple=True, metavar="K=V", help="Label the job."),
        click.option("--cpu", default="", help="CPU cores (500m, 2)."),
        click.option("--memory", default="", help="Memory (512mb, 4gb)."),
        click.option("--disk", default="", help="Disk (10gb)."),
        click.option("--gpu", default="", help="Number of GPUs (1)."),
        click.option(
            "--network",
            type=NETWORKS,
            default=None,
            help="Network the job may use; HTTP reaches the domains of --domain only.",
        ),
        click.option(
            "--domain",
            "domains",
            multiple=True,
            help="Domain the job may reach with --network http; .example.com has its sub-domains, too.",
        ),
        click.option(
            "--constraints",
            default="",
            metavar="SELECTOR",
            shell_complete=completing.constraints,
            help="Labels of suitable nodes (zone=eu).",
        ),
        click.option(
            "--host",
            default="",
            metavar="NAME",
            shell_complete=completing.hosts,
            help="Run on this Docker host (host list); short for --constraints host=NAME.",
        ),
        click.option("--count", default=1, help="Number of partitions (executions)."),
        click.option(
            "--target",
            type=click.Choice(["any", "all"]),
            default="any",
            help="Run on any matching nodes, or on all.",
        ),
        click.option(
            "--timeout",
            type=SECONDS,
            default=0,
            metavar="DURATION",
            help="Total time the job may take (90s, 1m30s, 2h).",
        ),
        click.option(
            "--queue-timeout",
            type=SECONDS,
            default=24 * 3600,
            metavar="DURATION",
            help="How long the job may wait for capacity; 0: not at all.",
        ),
        click.option("--name", default="", help="Job name; submitting it again updates the job."),
        click.option("--namespace", default="", shell_complete=completing.namespaces, help="Namespace."),
        click.option(
            "--priority",
            type=WholeNumber("a larger one goes first, 0 is the default"),
            default=0,
            metavar="NUMBER",
            help="Jobs with a larger number go first.",
        ),
        click.option("--task-name", default="main", help="Task name."),
        click.option("-w", "--workdir", default="", help="Working directory inside the job."),
    ]
    if output_flag:
        decorators.insert(
            1,
            click.option(
                "-o",
                "--output",
                "outputs",
                multiple=True,
                metavar="NAME:PATH",
                help="Directory that is part of the results.",
            ),
        )
    return _stack(*decorators)


def pip_options(function: F) -> F:
    """Flags that bring Python packages to a job."""
    return _stack(
        click.option(
            "--pip",
            "pip",
            multiple=True,
            metavar="REQUIREMENT",
            help='Bring a Python package ("polars>=1"); wheels only.',
        ),
        click.option(
            "--requirements",
            multiple=True,
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help="Bring the packages that a requirements file names.",
        ),
        click.option(
            "--no-binary",
            "no_binary",
            multiple=True,
            metavar="NAME",
            help="Build a package from its source, inside a job of its own.",
        ),
    )(function)


def modules_option(function: F) -> F:
    """``--no-modules``, for what runs Python."""
    return click.option(
        "--modules/--no-modules",
        "modules",
        default=True,
        help="Send the modules beside the notebook that it imports.",
    )(function)


def required_packages(values: Mapping[str, Any]) -> list[str | Required]:
    """Turn the values of `pip_options` into requirements.

    Raises
    ------
    BacalhauError
        One is not a requirement, or a file can't be read.
    """
    if not (values.get("pip") or values.get("requirements")):
        return []
    from bacalhau_jupyter.client.packages.requirements import parse, read_file

    listed = [each for path in values["requirements"] for each in read_file(path)]
    return [*parse(values["pip"]), *listed]


def template_options(function: F) -> F:
    """Flags that fill in the placeholders of a spec; `templated` takes their values."""
    return _stack(
        click.option(
            "-V",
            "--template-vars",
            "template_vars",
            multiple=True,
            metavar="KEY=VALUE",
            help="Fill in the placeholder {{.KEY}} of the spec.",
        ),
        click.option(
            "-E",
            "--template-envs",
            "template_envs",
            default="",
            metavar="REGEX",
            help="Take values of placeholders from the environment variables with such names.",
        ),
        click.option("--no-template", is_flag=True, help="Take the spec as it stands."),
    )(function)


def templated(text: str, values: Mapping[str, Any], what: str) -> str:
    """Return a spec with its placeholders filled in, as the values of `template_options` say.

    Raises
    ------
    BadRequest
        A placeholder has no value, or is not supported.
    """
    from bacalhau_jupyter.models.jobs.template import filled_in, template_values

    if values["no_template"]:
        return text
    chosen = pairs(_apart(values["template_vars"]), "-V/--template-vars")
    return filled_in(text, template_values(chosen, values["template_envs"], os.environ), what)


def listed(values: Sequence[str]) -> list[str]:
    """Take values apart at their commas, as official clients do; quotes keep a comma."""
    return [item for text in values for row in csv.reader([text]) for item in row]


def _apart(values: Sequence[str]) -> list[str]:
    """Take ``a=1,b=2`` apart as official clients do: a comma of a single pair belongs to its value.

    What they refuse, and what has no names at these places (``OPTS=-Da=1,-Db=2``), stays one pair.
    """
    result: list[str] = []
    for text in values:
        items = listed([text]) if text.count("=") > 1 else []
        result += items if items and all(_PAIR.match(item) for item in items) else [text]
    return result


def pairs(values: Sequence[str], flag: str) -> dict[str, str]:
    """Turn ``K=V`` texts into a dict; a text may come without a value.

    Raises
    ------
    BadRequest
        A text has no key.
    """
    result: dict[str, str] = {}
    for text in values:
        key, _, value = text.partition("=")
        if not key.strip():
            raise BadRequest(f"{flag} needs KEY=VALUE, not {text!r}")
        result[key.strip()] = value
    return result


def variables(values: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Turn the texts of ``--env`` into variables; one without ``=`` passes on that of the environment.

    Raises
    ------
    BadRequest
        A text has no name, or the environment has no such variable.
    """
    result: dict[str, str] = {}
    for text in _apart(values):
        name, equals, value = text.partition("=")
        if not name.strip():
            raise BadRequest("-e/--env needs a name: NAME=VALUE, or NAME to pass on a variable from here")
        if not equals and name not in environment:
            near = difflib.get_close_matches(name, environment, 1)
            raise BadRequest(
                f"-e {name}: there is no environment variable {name} here to pass on",
                hint=(f"did you mean {near[0]}? " if near else "") + f"-e {name}=VALUE sets one",
            )
        result[name.strip()] = value if equals else environment[name]
    return result


def job_options(values: Mapping[str, Any], client: Callable[[], Client]) -> JobOptions:
    """Turn the values of `spec_options` into what shapes a job.

    Parameters
    ----------
    values
        The flags' values.
    client
        Gives the client that looks up jobs whose results are inputs; only called when there are any.
    """
    from bacalhau_jupyter.client.inputs.uri import parse_output
    from bacalhau_jupyter.client.jobs.job_inputs import resolve_input
    from bacalhau_jupyter.client.jobs.options import OUTPUTS, JobOptions

    outputs = [parse_output(text) for text in values.get("outputs", ())]
    if not any(item.name == OUTPUTS.name or item.path == OUTPUTS.path for item in outputs):
        outputs.insert(0, OUTPUTS)
    return JobOptions(
        inputs=[item for text in values["inputs"] for item in resolve_input(text, client)],
        outputs=outputs,
        publisher=values["publisher"],
        env=variables(values["env"], os.environ),
        cpu=values["cpu"],
        memory=values["memory"],
        disk=values["disk"],
        gpu=values["gpu"],
        network=values["network"] or "",
        domains=values["domains"],
        timeout=values["timeout"],
        queue_timeout=values["queue_timeout"],
        name=values["name"],
        namespace=values["namespace"],
        labels=pairs(listed(values["labels"]), "--labels"),
        constraints=values["constraints"],
        host=values["host"],
        priority=values["priority"],
        count=values["count"],
        task_name=values["task_name"],
        target=values["target"],
        pip=required_packages(values),
        no_binary=values.get("no_binary", ()),
    )
