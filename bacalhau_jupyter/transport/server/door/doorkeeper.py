"""Decides who may connect to the link of a cluster: facts of a connection in, permissions or a refusal out.

========================  =====================================================================================
who                       what it brings                                      what it gets
========================  =====================================================================================
a node of ours            its ID as user, a secret of its own, the token      the subjects of that ID; the first
                                                                              such connection enrols the secret
an official node          the token; its ID is the client's name              the subjects of that ID, unless it
                                                                              belongs to a node with a secret
========================  =====================================================================================

Official nodes are one trust domain: who has the token can use the ID of each of them, and reads the answers to all.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from bacalhau_jupyter.transport.node_ids import is_node_id
from bacalhau_jupyter.transport.server.door import permissions
from bacalhau_jupyter.transport.server.door.permissions import Permissions

SHORTEST_SECRET = 32
"""Characters of a node's own secret: it is a random number and no word that somebody chose."""
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Caller:
    """What a connection said of itself.

    Attributes
    ----------
    host
        The address it comes from.
    name
        The client's name.
    user, password
        ID and secret of a node of ours; empty where none were sent.
    token
        The cluster's token; empty where none was sent.
    """

    host: str
    name: str
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @property
    def node_id(self) -> str:
        """The node that it says it is."""
        return self.user or self.name


@dataclass(frozen=True)
class Admission:
    """A connection may be used.

    Attributes
    ----------
    permissions
        For what.
    enrolled
        The hash of the secret that is to be kept for this node from now on; empty where there is nothing to keep.
    """

    permissions: Permissions
    enrolled: str = ""


@dataclass(frozen=True)
class Refusal:
    """A connection ends, for a reason: one sentence without a secret, for our log."""

    reason: str


class Doorkeeper:
    """Knows the rules; holds no connection and no state.

    Parameters
    ----------
    token
        What whoever connects must bring; empty where nothing is asked, which only a loopback address allows.
    is_reserved
        Whether an ID belongs to a node of this process: it has no business at the door.
    """

    def __init__(self, token: str, is_reserved: Callable[[str], bool] = lambda node_id: False) -> None:
        self._token = token
        self._is_reserved = is_reserved

    def decide(self, caller: Caller, kept_hash: str | None) -> Admission | Refusal:
        """Decide on a connection.

        Parameters
        ----------
        kept_hash
            The hash of the secret that is kept for ``caller.node_id``; None where there is none.
        """
        node_id = caller.node_id
        subject = f"Node {shown(node_id)} from {caller.host}"
        if not is_node_id(node_id):
            return Refusal(f"A client from {caller.host} is refused: {shown(node_id)} is no node ID.")
        if self._token and not _is_same(caller.token, self._token):
            lack = "its token is wrong" if caller.token else "it brings no token"
            return Refusal(f"{subject} is refused: {lack}.")
        if self._is_reserved(node_id):
            return Refusal(f"{subject} is refused: this ID belongs to the orchestrator's own machine.")
        if not caller.user:
            if kept_hash is not None:
                return Refusal(f"{subject} is refused: this ID belongs to a node with a secret of its own.")
            return Admission(permissions.of_official_node(node_id))
        if len(caller.password) < SHORTEST_SECRET:
            return Refusal(
                f"{subject} is refused: its own secret has fewer than {SHORTEST_SECRET} characters."
            )
        presented = secret_hash(node_id, caller.password)
        if kept_hash is not None and not _is_same(presented, kept_hash):
            return Refusal(f"{subject} is refused: its secret is not the one with which this ID first came.")
        return Admission(permissions.of_own_node(node_id), "" if kept_hash is not None else presented)


def secret_hash(node_id: str, secret: str) -> str:
    """Return what is kept of a node's secret. Secrets are long random numbers, so a fast hash does."""
    return hashlib.sha256(f"{node_id}\n{secret}".encode("utf-8", "surrogatepass")).hexdigest()


def shown(text: str) -> str:
    """Return a stranger's text as a log line may hold it."""
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")


def _is_same(left: str, right: str) -> bool:
    """Compare secrets without telling by the time it takes how much of them is right."""
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
