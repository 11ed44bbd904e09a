"""What a person types on a machine that is to join a cluster, and what joining means; pure text, never a token."""

from __future__ import annotations

import shlex
from pathlib import PurePath
from urllib.parse import urlsplit

from bacalhau_jupyter.lib.nearby import is_loopback
from bacalhau_jupyter.lib.times import ZERO_TIME
from bacalhau_jupyter.models.records.cluster import TOKEN_KEY, ClusterState, JoinedCluster

_TOKEN_VARIABLE = "BACALHAU_COMPUTE_AUTH_TOKEN"


def joining(state: ClusterState) -> str:
    """Return the lines to type for a node of ours and for an official one, and what to copy before.

    Where only nodes of the same machine can join, nothing is copied: the lines name the files where they are.
    """
    is_near = stays_here(state)
    files = [name for name in (state.token_file, state.ca_file) if name]
    token = _named(state.token_file, is_near) or "cluster.token"
    authority = _named(state.ca_file, is_near)
    lines = []
    if files and not is_near:
        lines += [f"Copy {' and '.join(files)} there; only its owner may read the token.", ""]
    if state.needs_token and not state.token_file:
        lines += [f"Write the token of {TOKEN_KEY} into a file {token}{'' if is_near else ' there'}.", ""]
    # On this machine the connected node is the orchestrator's, as a rule, and nothing joins its own cluster.
    ours = [f"bacalhau-jupyter {'--data-dir DIR ' if is_near else ''}cluster join", state.address]
    official = ["bacalhau serve --compute", "-c", f"Compute.Orchestrators={state.address}"]
    if state.needs_token:
        ours += ["--token-file", shlex.quote(token)]
        official.insert(0, f'{_TOKEN_VARIABLE}="$(cat {shlex.quote(token)})"')
    if authority:
        ours += ["--ca-file", shlex.quote(authority)]
        official += ["-c", shlex.quote(f"Compute.TLS.CACert={authority}")]
    lines += [
        "A second node of bacalhau-jupyter, which this starts (DIR: a new directory for what it keeps):"
        if is_near
        else "A node of bacalhau-jupyter (in a notebook: %bacalhau cluster join …):",
        f"  {' '.join(ours)}",
        "An official node, version 1.6 or later:",
        f"  {' '.join(official)}",
    ]
    if is_near:
        lines += ["", "Only nodes of this machine reach this address; --host 0.0.0.0 lets others in."]
    return "\n".join(lines)


def stays_here(state: ClusterState) -> bool:
    """Whether only nodes of the orchestrator's machine can join."""
    return is_loopback(urlsplit(state.address).hostname or "")


def _named(path: str, is_near: bool) -> str:
    return path if is_near or not path else PurePath(path).name


def trust(state: ClusterState) -> str:
    """Return what people should know before they give the token away."""
    if state.needs_token:
        sentences = [
            "Who has the token can join, gets jobs of this cluster, and sees what is in them.",
            "A node of bacalhau-jupyter has an identity of its own from its first connection on. Official nodes "
            "share the token: each of them can speak for all other official nodes.",
        ]
    else:
        sentences = [
            "No token is set: any program of this machine can join, gets jobs of this cluster, and sees what is in "
            "them."
        ]
    if state.is_public and not state.is_encrypted:
        sentences.append(
            "What passes is not encrypted, the token included: use --tls, or a network that you trust."
        )
    if state.is_public and not state.api_address:
        sentences.append(
            "Nodes of other machines can't fetch uploads from this node, whose API they don't reach: jobs with "
            "uploads stay on this machine. Set API.Host and API.AdvertisedAddress to change that."
        )
    return "\n".join(sentences)


def facts_of(joined: JoinedCluster) -> dict[str, object]:
    """Return what people want to know of a cluster to which a machine is offered."""
    facts: dict[str, object] = {"Cluster": joined.url, "Name there": joined.node_id}
    # A node that has joined stays joined while its link is away.
    if joined.is_joined and joined.link.is_up:
        facts["Link"] = "up"
    else:
        since = "" if joined.link.since == ZERO_TIME else f" since {joined.link.since}"
        facts["Link"] = f"down{since}: {joined.link.reason}"
    facts["Executions"] = joined.executions
    return facts
