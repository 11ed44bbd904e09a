"""The link between the nodes of a cluster, as a node shows it and as its owner changes it."""

from __future__ import annotations

import msgspec

from bacalhau_jupyter.lib.times import ZERO_TIME
from bacalhau_jupyter.models.codec import Wire, always

FEATURE = "cluster"
"""With this feature a node tells of its link, and its owner can open and close it."""

PATH = "/api/v1/cluster"

TOKEN_KEY = "Orchestrator.Auth.Token"
"""The config key of the token that nodes present, where it is not in a file of the node's own."""


CLOSED = "the cluster is closed"
"""The reason of a link that nobody wants open."""

OPENING = "the cluster is being opened"
"""The reason of a link that is about to be open."""


class LinkStatus(Wire):
    """How a way between nodes is.

    Attributes
    ----------
    is_up
        Whether messages pass now.
    reason
        Why they do not, one sentence.
    since
        Since when it is so, RFC 3339.
    place
        Where it leads.
    """

    is_up: bool = always(False)
    reason: str = ""
    since: str = ZERO_TIME
    place: str = ""


class JoinedCluster(Wire):
    """A cluster to which a node offers its machine.

    Attributes
    ----------
    node_id
        What the machine's node is called there.
    is_joined
        Whether its orchestrator knows the node now.
    link
        How the way to it is.
    executions
        How many executions run for it.
    """

    url: str = msgspec.field(default="", name="URL")
    node_id: str = msgspec.field(default="", name="NodeID")
    is_joined: bool = always(False)
    link: LinkStatus = always(LinkStatus())
    executions: int = always(0)


class ClusterState(Wire):
    """The link of a node that places jobs.

    Attributes
    ----------
    is_open
        Whether nodes of other processes may join.
    opened_by
        Why it is open, where that is not `cluster open`: it stays so until the configuration changes.
    address
        What a node of another machine dials, such as ``nats://192.0.2.7:4222``.
    is_public
        Whether other machines can reach the link.
    is_encrypted
        Whether it speaks TLS.
    token_file
        The file of this machine that holds the token that nodes present; empty where nodes need none, or the
        configuration has it.
    needs_token
        Whether nodes need a token.
    ca_file
        The file of this machine with the authority that nodes must trust; empty where they need none.
    api_address
        The URL at which nodes of other machines reach this node's API; empty where they can't.
    link
        How the way to the nodes is.
    nodes
        How many nodes are connected over the link.
    joined
        Further clusters to which the machine of the node is offered, where a client has asked for them, too.
    """

    is_open: bool = always(False)
    opened_by: str = ""
    address: str = ""
    is_public: bool = False
    is_encrypted: bool = False
    needs_token: bool = False
    token_file: str = ""
    ca_file: str = msgspec.field(default="", name="CAFile")
    api_address: str = msgspec.field(default="", name="APIAddress")
    link: LinkStatus = always(LinkStatus())
    nodes: int = always(0)
    joined: list[JoinedCluster] = []


class OpenCluster(Wire):
    """Asks a node to let others join.

    Attributes
    ----------
    host
        The address to listen on; empty for the configured one.
    port
        The port; 0 for the configured one, or any where that is taken.
    advertise
        HOST or HOST:PORT at which other machines reach it; empty for what the node finds.
    encrypt
        Whether to speak TLS with a certificate of the node's own authority.
    """

    host: str = ""
    port: int = 0
    advertise: str = ""
    encrypt: bool = False
