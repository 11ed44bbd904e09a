"""Links to results on this disk that an orchestrator elsewhere hands out as they are."""

from __future__ import annotations

from dataclasses import dataclass

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.node.addresses import ADDRESS, DEFAULT_ADDRESS, LinkAddress
from bacalhau_jupyter.node.cluster.far import advertised_url, listener_missing, named_host
from bacalhau_jupyter.transfer.core.signing import local_reference, signed_reference

LIFETIME_S = 10 * 365 * 24 * 3600.0
"""Seconds that such a link opens: nobody signs it anew, so it must live as long as the result may."""


@dataclass(frozen=True)
class LastingLinks:
    """Makes references to published results (``plugins.options.ResultReferences``).

    Attributes
    ----------
    base_url
        Where clients of the other cluster reach this node's results.
    problem
        Why they can't, one sentence; empty where they can.
    """

    base_url: str
    problem: str
    key: bytes
    clock: Clock

    def reference(self, execution_id: str, node_id: str) -> SpecConfig:
        """Return a signed link that any client can download; everybody who may read the job sees the link."""
        stored = local_reference(execution_id, node_id)
        return signed_reference(stored, self.base_url, self.key, self.clock.now_ns(), LIFETIME_S)


def reachable_base(config: Config, own_url: str, *, is_near: bool) -> tuple[str, str]:
    """Return the base URL of links to results, or "" and why there is none.

    Parameters
    ----------
    own_url
        The API, as a client on this host dials it.
    is_near
        Whether the orchestrator is on this machine: then its clients may be, too.
    """
    address = LinkAddress.of(config)
    if address.host not in ("", DEFAULT_ADDRESS) or address.scheme:
        problem = listener_missing(config, address)
        return ("" if problem else address.applied_to(own_url)), problem
    if advertised := advertised_url(config, own_url):
        return advertised, ""
    if is_near:
        return address.applied_to(own_url), ""
    if named_host(config):
        return own_url, ""
    return "", f"nobody elsewhere could fetch results from this node: {ADDRESS} is not set"
