"""Docker hosts elsewhere, each a compute node of this one: what a node tells of them, and what its owner orders."""

from __future__ import annotations

import enum
import re

import msgspec

from bacalhau_jupyter.lib.times import ZERO_TIME
from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig

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


class Leaving(enum.Enum):
    """What becomes of the jobs of a host that is removed."""

    ASK = ""
    WAIT = "wait"
    CANCEL = "cancel"
    LEAVE = "leave"

    @classmethod
    def _missing_(cls, value: object) -> Leaving | None:
        text = str(value).lower()
        return next((member for member in cls if member.value == text), None)


class HostUser(Wire):
    """A container that runs on a host and is none of this node's.

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


class HostStep(Wire):
    """One step of the way to a host, tried.

    Attributes
    ----------
    name
        What is tried, such as ``ssh login``.
    ok
        Whether it works; None where it was not tried, because an earlier step failed.
    sentence
        What was found.
    hint
        What a person can do about it.
    """

    name: str = always("")
    ok: bool | None = always(None)
    sentence: str = ""
    hint: str = ""


class HostTest(Wire):
    """How a trial of a host went.

    Attributes
    ----------
    fingerprint
        The key that a host shows which is not known yet; ``SHA256:…``. Adding it with this as ``Trust`` accepts it.
    """

    ok: bool = always(False)
    steps: list[HostStep] = always([])
    facts: HostFacts | None = None
    fingerprint: str = ""


class TlsFiles(Wire):
    """Certificates of a ``tcp://`` host; paths are on the node's machine, relative ones beside ``hosts.yaml``."""

    ca: str = ""
    cert: str = ""
    key: str = ""


class SshSettings(Wire):
    """What is special about the way over ssh.

    Attributes
    ----------
    options
        Options of ssh, of an allow-list.
    socket
        The Docker Engine's socket there; empty: found by looking.
    through
        ``dial-stdio`` where sockets can't be forwarded; empty: found out.
    """

    options: dict[str, str] = {}
    socket: str = ""
    through: str = ""


class AddHost(Wire):
    """Asks a node to let a Docker Engine run its jobs.

    Attributes
    ----------
    url
        ``ssh://user@host[:port][/path/of/socket]``, ``tcp://host:port``, ``unix:///path``, or an alias of ssh.
    context
        In place of the URL: the name of a Docker context.
    name
        What people call it; empty: after its address.
    allocated
        How much of it jobs may use: amounts, or shares of what there is.
    trust
        The fingerprint of the key that it shows, which is accepted.
    insecure
        Whether ``tcp://`` without TLS is meant.
    anyway
        Whether it is kept although it can't be reached now.
    """

    name: str = ""
    url: str = msgspec.field(default="", name="URL")
    context: str = ""
    tls: TlsFiles | None = msgspec.field(default=None, name="TLS")
    ssh: SshSettings | None = None
    labels: dict[str, str] = {}
    allocated: ResourcesConfig = ResourcesConfig()
    gpus: list[GPU] = []
    trust: str = ""
    insecure: bool = False
    paused: bool = False
    anyway: bool = False


class RemoveHost(Wire):
    """Asks a node to let a host run no more jobs.

    Attributes
    ----------
    jobs
        ``wait`` for those that run there, ``cancel`` or ``leave`` them; empty asks, if there are any.
    """

    jobs: str = ""


class PushImage(Wire):
    """Asks a node to copy an image of this machine's Docker Engine to a host."""

    image: str = ""


class HostProgress(Wire):
    """How far it is what is being copied to a host.

    Attributes
    ----------
    text
        All of it in words; empty where nothing is copied.
    done, total
        Bytes; a total of 0 is not known.
    note
        Layers, rate, or what is waited for, in words.
    """

    text: str = always("")
    image: str = ""
    done: int = 0
    total: int = 0
    note: str = ""


class CleanHost(Wire):
    """Asks a node what nodes that are gone left on a host.

    Attributes
    ----------
    remove
        Names of nodes whose remains are removed; empty: none, they are listed only.
    force
        Whether containers of these nodes are removed while they run: the node may be alive.
    """

    remove: list[str] = []
    force: bool = False


class HostRemains(Wire):
    """What one node has on a host.

    Attributes
    ----------
    node_id
        That node.
    owner
        Whose node it is, ``user@machine``; empty where that is unknown.
    containers, running, volumes
        How many there are; ``running`` counts containers, too.
    last
        When the newest of it was made, RFC 3339.
    is_own
        Whether it is this node, which cleans up by itself.
    """

    node_id: str = msgspec.field(default="", name="NodeID")
    owner: str = ""
    containers: int = always(0)
    running: int = always(0)
    volumes: int = always(0)
    last: str = ZERO_TIME
    is_own: bool = False


class HostCleaning(Wire):
    """What nodes have on a host, and whether it was removed."""

    items: list[HostRemains] = always([])
    removed: list[str] = []


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
        How calls get there, for people.
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
