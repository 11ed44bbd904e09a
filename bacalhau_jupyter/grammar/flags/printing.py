"""Flags of verbs that list, describe or name a job: which rows, which version, in which form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import click

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.output import FORMATS, Show

F = TypeVar("F", bound=Callable[..., Any])


def print_options(function: F) -> F:
    """Flags of verbs that list or describe; the verb gets ``wide``, its result takes the others along."""

    @functools.wraps(function)
    def shown(
        *, form: str, hide_header: bool, pretty: bool, no_style: bool, show_secrets: bool, **values: Any
    ) -> Any:
        # Nothing has any style to remove.
        del no_style
        result = function(**values)
        result.show = Show(form, hide_header=hide_header, pretty=pretty, secrets=show_secrets)
        return result

    options = (
        click.option("--output", "form", type=click.Choice(FORMATS), default="table", help="Output format."),
        click.option("--pretty/--no-pretty", default=True, help="Indent JSON."),
        click.option("--hide-header", is_flag=True, help="Leave out the headings."),
        click.option("--no-style", is_flag=True, help="Leave out styles (tables here have none)."),
        click.option("--wide", is_flag=True, help="Show full IDs."),
        click.option(
            "--show-secrets", is_flag=True, help="Do not mask variables that look secret (JSON, YAML)."
        ),
    )
    return cast(F, _stacked(shown, options))


def list_options(
    *, limit: int, orders: Sequence[str] = (), order_by: str = "", newest_first: bool = False
) -> Callable[[F], F]:
    """Flags of verbs that list; ``newest_first`` says how rows stand when nothing is said."""
    kind: Any = click.Choice(list(orders)) if orders else str
    reversed_flag = "--order-reversed/--order-forward" if newest_first else "--order-reversed"
    options = (
        click.option("--limit", default=limit, help="Largest number of rows."),
        click.option("--next-token", default="", metavar="TOKEN", help="Continue after an earlier page."),
        click.option("--order-by", type=kind, default=order_by or None, help="Column to sort by."),
        click.option(
            reversed_flag,
            is_flag=True,
            default=newest_first,
            help="Newest first." if newest_first else "Reverse the order.",
        ),
    )
    return lambda function: _stacked(function, options)


def namespace_option(function: F) -> F:
    """``--namespace`` of verbs that name a job."""
    return click.option(
        "--namespace", default="", shell_complete=completing.namespaces, help="Namespace of the job."
    )(function)


def version_option(function: F) -> F:
    """``--version`` of verbs that show a job."""
    return click.option(
        "-v", "--version", default=0, type=click.IntRange(min=0), help="Version of the job (0: the newest)."
    )(function)


def _stacked(function: F, options: Sequence[Callable[[Any], Any]]) -> F:
    stacked: Any = function
    for option in reversed(options):
        stacked = option(stacked)
    return cast(F, stacked)
