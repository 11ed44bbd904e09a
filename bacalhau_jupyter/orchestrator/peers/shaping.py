"""What it means for a job and for its messages that a node is another process, or an official one."""

from __future__ import annotations

from collections.abc import Callable

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.wire.messages import AskForBid, ToCompute
from bacalhau_jupyter.orchestrator.peers import offers
from bacalhau_jupyter.orchestrator.peers.offers import FarAddress
from bacalhau_jupyter.orchestrator.peers.register import Register
from bacalhau_jupyter.orchestrator.uploads import Uploads
from bacalhau_jupyter.transport.base import Way


class Shaping:
    """Shapes messages for the node that gets them.

    Parameters
    ----------
    register
        Knows which nodes are official ones.
    uploads
        Knows which results need an address of ours.
    way_to
        How messages get to a node.
    far_address
        Where nodes of other machines reach this one.
    """

    def __init__(
        self, register: Register, uploads: Uploads, way_to: Callable[[str], Way], far_address: FarAddress
    ) -> None:
        self._register = register
        self._uploads = uploads
        self._way_to = way_to
        self._far_address = far_address

    def address_problem(self, job: Job) -> str:
        """Say why nodes of other machines lack an address of this one for a job (an `AddressProblem`)."""
        return offers.address_problem(job, self._far_address()) or self._uploads.problem_of(job)

    def is_official(self, node_id: str) -> bool:
        """Whether a node is an official one; what runs in this process is ours, whatever it says."""
        return self._way_to(node_id).is_far and self._register.is_stock(node_id)

    def shaped(self, node_id: str, message: ToCompute) -> ToCompute:
        """Return a message as a node gets it."""
        if not self._way_to(node_id).is_far:
            return message
        job = message.execution.job if isinstance(message, AskForBid) else None
        # Only links need the address, which takes longer to find than a message to be sent.
        far_address = self._far_address() if job is not None and offers.needs_address(job) else ""
        return offers.shaped(message, is_stock=self._register.is_stock(node_id), far_address=far_address)
