"""How patient the sources are: ``InputSources.ReadTimeout`` and ``InputSources.MaxRetryCount``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.goduration import parse_go_duration

READ_TIMEOUT = "InputSources.ReadTimeout"
MAX_RETRY_COUNT = "InputSources.MaxRetryCount"


@dataclass(frozen=True)
class FetchLimits:
    """What every source that brings inputs over a network keeps to.

    Attributes
    ----------
    read_timeout_s
        Seconds without a single byte before an attempt fails.
    max_retries
        Attempts after the first one.
    """

    read_timeout_s: float = 300.0
    max_retries: int = 3

    @classmethod
    def of(cls, settings: Callable[[str], Any], component: str) -> FetchLimits:
        """Read the settings; what is not set has its default.

        Raises
        ------
        ConfigurationError
            One of them is not a duration above zero, or not a count.
        """
        read_timeout, max_retries = settings(READ_TIMEOUT), settings(MAX_RETRY_COUNT)
        return cls(
            cls.read_timeout_s if read_timeout is None else _seconds(read_timeout, component),
            cls.max_retries if max_retries is None else _count(max_retries, component),
        )


def _seconds(value: object, component: str) -> float:
    """Read a duration as settings hold it: seconds, a timedelta, or Go's text (``5m0s``)."""
    seconds = 0.0
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)):
        seconds = float(value)
    elif isinstance(value, str):
        try:
            seconds = parse_go_duration(value)
        except ValueError:
            seconds = 0.0
    if seconds <= 0:
        raise ConfigurationError(
            f"{READ_TIMEOUT} is not a duration: {value!r}",
            hint="write it like 5m or 90s",
            component=component,
        )
    return seconds


def _count(value: Any, component: str) -> int:
    try:
        count = int(value)
    except (TypeError, ValueError):
        count = -1
    if count < 0:
        raise ConfigurationError(f"{MAX_RETRY_COUNT} is not a count: {value!r}", component=component)
    return count
