"""What the parts of a compute node share while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bacalhau_jupyter.compute.files import Places
from bacalhau_jupyter.compute.inputs.cache import ContentCache
from bacalhau_jupyter.compute.link.store import Store
from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.compute.settings import ComputeSettings
from bacalhau_jupyter.compute.survey import Survey
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.reserve import Reserve
from bacalhau_jupyter.lib.telemetry.base import SILENT, Telemetry
from bacalhau_jupyter.transport.base import ComputeTransport


@dataclass(frozen=True)
class Equipment:
    """What the node hands to each of its parts.

    Attributes
    ----------
    transport
        The compute node's end of a carrier.
    reserve
        Room that is given back when the disk is full.
    host_env
        The host variables that ``env:NAME`` may refer to.
    problems
        List of failed background tasks.
    survey
        What is known of the machine, and whether the node takes jobs at all.
    telemetry
        Who is told of executions.
    """

    settings: ComputeSettings
    clock: Clock
    transport: ComputeTransport
    store: Store
    places: Places
    plugins: Plugins
    cache: ContentCache
    reserve: Reserve
    host_env: Mapping[str, str]
    problems: Problems
    survey: Survey
    telemetry: Telemetry = SILENT
