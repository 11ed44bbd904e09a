"""Kinds of values that flags take, with errors that show what they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bacalhau_jupyter.models.jobs.goduration import whole_seconds
from bacalhau_jupyter.models.jobs.spec import NetworkType

if TYPE_CHECKING:
    _Type = click.ParamType[int]
else:
    _Type = click.ParamType

NETWORKS = click.Choice([*(member.value for member in NetworkType), "Full"], case_sensitive=False)
"""``Full`` is the old name of ``Host``; the official help still gives it."""


class Seconds(_Type):
    """A duration (``90s``, ``1m30s``, ``2h``) or plain seconds; the value is in whole seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds."""
        try:
            return whole_seconds(value)
        except ValueError:
            self.fail(f"{value!r} is not a duration: write 90s, 1m30s, 2h, or plain seconds", param, ctx)


class WholeNumber(_Type):
    """A whole number, with a word on what it means.

    Parameters
    ----------
    meaning
        Follows the error's sentence, for example "a larger number goes first; the default is 0".
    """

    name = "integer"

    def __init__(self, meaning: str) -> None:
        self._meaning = meaning

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number: {self._meaning}", param, ctx)


SECONDS = Seconds()
