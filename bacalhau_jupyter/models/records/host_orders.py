"""What the owner of a node orders about Docker hosts elsewhere, and what is answered."""

from __future__ import annotations

import enum

import msgspec

from bacalhau_jupyter.lib.times import ZERO_TIME
from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig
from bacalhau_jupyter.models.records.hosts import HostFacts


class TlsFiles(Wire):
    """Certificates of a ``tcp://`` host; paths are on the node's machine, relative ones beside ``hosts.yaml``."""

    ca: str = ""
    cert: str = ""
    key: str = ""


class SshSettings(Wire):
    """How ssh is used for a host, where that is not the default.

    Attributes
    ----------
    options
        Options of ssh; only those of an allow-list.
    socket
        The Docker Engine's socket there; empty: the node looks for it.
    through
        ``dial-stdio`` where sockets can't be forwarded; empty: the node tries.
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


class RemoveHost(Wire):
    """Asks a node to let a host run no more jobs.

    Attributes
    ----------
    jobs
        ``wait`` for those that run there, ``cancel`` or ``leave`` them; empty: the order is refused if there are any.
    """

    jobs: str = ""


class PushImage(Wire):
    """Asks a node to copy an image of this machine's Docker Engine to a host."""

    image: str = ""


class HostProgress(Wire):
    """How far the copying of an image to a host is.

    Attributes
    ----------
    text
        All of it in words; empty where nothing is copied.
    done, total
        Bytes; a total of 0 is not known.
    note
        Layers, rate, or what the node waits for, in words.
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
