"""Telemetry of this process: none, without an import, unless the standard variables name a receiver."""

from __future__ import annotations

import atexit
import functools
import logging
import os
from collections.abc import Mapping
from dataclasses import replace

from bacalhau_jupyter.lib.telemetry.base import SILENT, Telemetry
from bacalhau_jupyter.lib.telemetry.choice import Choice, chosen
from bacalhau_jupyter.lib.telemetry.trace import VARIABLE, Link, read_link

_log = logging.getLogger(__name__)

PACKAGES = "pip install 'bacalhau-jupyter[otel]'"


def telemetry_of(environ: Mapping[str, str], version: str) -> Telemetry:
    """Start what the variables ask for; what can't be started is logged and left out.

    Parameters
    ----------
    version
        Of this software, for the receiver.
    """
    choice = chosen(environ)
    for problem in choice.problems:
        _log.warning("%s", problem)
    return _started(choice, version)


@functools.cache
def telemetry_of_client() -> Telemetry:
    """Return the telemetry of a process that only calls a node: traces, sent at the latest when the process ends."""
    choice = replace(chosen(os.environ), metrics="", problems=())
    if not choice.any:
        return SILENT
    # Whoever types should read of a receiver that is away in the node's log, not between their own output.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    from bacalhau_jupyter._version import __version__

    telemetry = _started(choice, __version__)
    atexit.register(telemetry.close)
    return telemetry


@functools.cache
def link_of_process() -> Link | None:
    """Return the span that started this process, where its environment names one."""
    return read_link(os.environ.get(VARIABLE, ""))


def _started(choice: Choice, version: str) -> Telemetry:
    if not choice.any:
        return SILENT
    try:
        from bacalhau_jupyter.lib.telemetry.otlp import Otlp

        return Otlp(choice, version)
    except ImportError as error:
        _log.warning("no traces or metrics are sent: %s is missing (%s)", error.name, PACKAGES)
    except Exception as error:
        # Wrong values of the many variables that the SDK reads: the node works without it.
        _log.warning("no traces or metrics are sent: %s", error)
    return SILENT
