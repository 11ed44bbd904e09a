"""Flags shared by several verbs, declared once; names and meanings are the official CLI's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from bacalhau_jupyter.grammar.output import FORMATS, Show
from bacalhau_jupyter.models.errors import BadRequest

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.client.jobs.options import JobOptions

F = TypeVar("F", bound=Callable[..., Any])


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
            "-i", "--input", "inputs", multiple=True, metavar="URI[:TARGET]", help="Mount an input."
        ),
        click.option(
            "-p", "--publisher", default=None, metavar="WHERE", help="Where results go (default: local)."
        ),
        click.option("-e", "--env", multiple=True, metavar="K=V", help="Set an environment variable."),
        click.option("-l", "--labels", multiple=True, metavar="K=V", help="Label the job."),
        click.option("--cpu", default="", help="CPU cores (500m, 2)."),
        click.option("--memory", default="", help="Memory (512mb, 4gb)."),
        click.option("--disk", default="", help="Disk (10gb)."),
        click.option("--gpu", default="", help="GPUs (1)."),
        click.option("--network", default="", help="Default, None, Host, HTTP or Bridge."),
        click.option("--domain", "domains", multiple=True, help="Domain the job may reach (HTTP network)."),
        click.option("--constraints", default="", metavar="SELECTOR", help="Which nodes may run it."),
        click.option("--count", default=1, help="How many partitions run."),
        click.option(
            "--target", type=click.Choice(["any", "all"]), default="any", help="any, or all matching nodes."
        ),
        click.option("--timeout", default=0, metavar="SECONDS", help="Total time the job may take."),
        click.option(
            "--queue-timeout",
            default=24 * 3600,
            metavar="SECONDS",
            help="How long the job may wait for capacity.",
        ),
        click.option("--name", default="", help="Job name; submitting it again updates the job."),
        click.option("--namespace", default="", help="Namespace."),
        click.option("--priority", default=0, help="Larger goes first."),
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
                help="Bring a directory back.",
            ),
        )
    return _stack(*decorators)


def wait_options(function: F) -> F:
    """Flags that say what happens after the submission."""
    return _stack(
        click.option("--wait/--no-wait", "wait", default=True, help="Wait for the job."),
        click.option("-f", "--follow", is_flag=True, help="Show the job's output while it runs."),
        click.option("--id-only", is_flag=True, help="Print only the job ID."),
        click.option("--dry-run", is_flag=True, help="Show the job spec without submitting it."),
        click.option("--check/--no-check", default=None, help="Fail on a non-zero exit code."),
    )(function)


def print_options(function: F) -> F:
    """Flags of verbs that list or describe; the verb gets ``wide``, its result takes the others along."""

    @functools.wraps(function)
    def shown(*, form: str, hide_header: bool, pretty: bool, **values: Any) -> Any:
        result = function(**values)
        result.show = Show(form, hide_header=hide_header, pretty=pretty)
        return result

    return cast(
        F,
        _stack(
            click.option(
                "--output", "form", type=click.Choice(FORMATS), default="table", help="Output format."
            ),
            click.option("--pretty/--no-pretty", default=True, help="Indent JSON."),
            click.option("--hide-header", is_flag=True, help="No headings."),
            click.option("--wide", is_flag=True, help="Full IDs."),
        )(shown),
    )


def namespace_option(function: F) -> F:
    """``--namespace`` of verbs that name a job."""
    return click.option("--namespace", default="", help="Namespace of the job.")(function)


def pairs(values: Sequence[str], flag: str) -> dict[str, str]:
    """Turn ``K=V`` texts into a dict; labels may come without a value.

    Raises
    ------
    BadRequest
        A text has no key (or, for ``--env``, no value).
    """
    result: dict[str, str] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not key.strip() or (flag == "--env" and not equals):
            raise BadRequest(f"{flag} needs KEY=VALUE, not {text!r}")
        result[key.strip()] = value
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
        env=pairs(values["env"], "--env"),
        cpu=values["cpu"],
        memory=values["memory"],
        disk=values["disk"],
        gpu=values["gpu"],
        network=values["network"],
        domains=values["domains"],
        timeout=values["timeout"],
        queue_timeout=values["queue_timeout"],
        name=values["name"],
        namespace=values["namespace"],
        labels=pairs(values["labels"], "--labels"),
        constraints=values["constraints"],
        priority=values["priority"],
        count=values["count"],
        task_name=values["task_name"],
        target=values["target"],
    )
