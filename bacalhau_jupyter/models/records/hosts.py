"""Docker hosts elsewhere, each a compute node of this one: what a node tells of them."""

from __future__ import annotations

import enum
import re

import msgspec

from bacalhau_jupyter.lib.times import ZERO_TIME
from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.jobs.resources import Resources

FEATURE = "hosts"
"""With this feature the owner of a node can let Docker Engines of other machines run its jobs."""

PATH = "/api/v1/hosts"

LABEL = "host"
"""The label of a host's node: ``--host NAME`` means the constraint ``host=NAME``."""

HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?", re.ASCII)
"""What a host may be called: its name is a label, and a part of its node's ID."""


class HostState(enum.Enum):
    """How the way to a Docker host is.

    ``REFUSED`` needs a person (a key, a right, a certificate); ``UNREACHABLE`` passes by itself. Jobs are kept in both.
    """

    CONNECTING = "Connecting"
    READY = "Ready"
    UNREACHABLE = "Unreachable"
    REFUSED = "Refused"
    PAUSED = "Paused"
    REMOVING = "Removing"

    @classmethod
    def _missing_(cls, value: object) -> HostState:
        text = str(value).lower()
        return next((member for member in cls if member.value.lower() == text), cls.CONNECTING)


class HostUser(Wire):
    """A container on a host that is not of this node.

    Attributes
    ----------
    resources
        Its explicit limits, and the GPUs that it holds.
    owner
        Whose job it is, ``user@machine``, where another node says so.
    """

    name: str = always("")
    owner: str = ""
    image: str = always("")
    resources: Resources = always(Resources())


class HostFacts(Wire):
    """What a host has, as it was seen the last time.

    Attributes
    ----------
    resources
        CPU, memory, free disk, GPUs.
    taken
        What others are known to hold of it.
    load
        Its load average of the last minute; below 0 where it is unknown.
    free_memory
        Bytes that are free; 0 where it is unknown.
    device_files
        Files below ``/dev`` of GPUs that are handed over as files, by the PCI address.
    gpu_problems
        Why a vendor's tool there can't say anything, by its name.
    engine_id
        The engine's own ID; two ways to one engine show the same one.
    skew_ms
        How far its clock is ahead of this machine's, milliseconds.
    round_trip_ms
        How long a call takes, milliseconds.
    seen
        When all this was seen, RFC 3339.
    """

    resources: Resources = always(Resources())
    taken: Resources = always(Resources())
    others: list[HostUser] = []
    machine: str = ""
    os: str = msgspec.field(default="", name="OS")
    architecture: str = ""
    engine: str = ""
    engine_id: str = msgspec.field(default="", name="EngineID")
    load: float = -1.0
    free_memory: int = 0
    device_files: dict[str, list[str]] = {}
    gpu_problems: dict[str, str] = {}
    skew_ms: float = 0.0
    round_trip_ms: float = 0.0
    seen: str = ZERO_TIME


class HostRecord(Wire):
    """A host as its node sees it.

    Attributes
    ----------
    url, context
        How it was added.
    state
        How the way to it is.
    problem, hint
        Why it takes no jobs, a sentence, and what a person can do about it.
    since
        Since when it is in this state, RFC 3339.
    way
        How requests get there, for people.
    node_id
        The compute node that it is.
    executions
        How many executions are there.
    progress
        What is being copied there now; empty for nothing.
    """

    name: str = always("")
    url: str = msgspec.field(default="", name="URL")
    context: str = ""
    state: HostState = always(HostState.CONNECTING)
    problem: str = ""
    hint: str = ""
    since: str = ZERO_TIME
    way: str = ""
    node_id: str = msgspec.field(default="", name="NodeID")
    labels: dict[str, str] = {}
    progress: str = ""
    capacity: Resources = always(Resources())
    free: Resources = always(Resources())
    executions: int = always(0)
    facts: HostFacts | None = None


class DockerContext(Wire):
    """A Docker context of the node's machine that could be added."""

    name: str = always("")
    url: str = always("", name="URL")
    description: str = ""


class SshAlias(Wire):
    """A host of the ssh configuration of the node's user.

    Attributes
    ----------
    shown
        Where it leads, as far as the configuration says so itself.
    """

    name: str = always("")
    shown: str = ""


class Hosts(Wire):
    """All hosts of a node.

    Attributes
    ----------
    contexts, aliases
        What could be added.
    problems
        What is wrong in the file of hosts, a sentence each.
    file
        The file of the node's machine that lists them.
    """

    items: list[HostRecord] = always([])
    contexts: list[DockerContext] = []
    aliases: list[SshAlias] = []
    problems: list[str] = []
    file: str = ""
