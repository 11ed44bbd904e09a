"""What people decide about a node: whether it may take jobs, and whether it is known any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bacalhau_jupyter.models.errors import BadRequest, Conflict
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import Membership
from bacalhau_jupyter.orchestrator.membership.keeping import Members
from bacalhau_jupyter.orchestrator.store import nodes as rows
from bacalhau_jupyter.orchestrator.store import outbox
from bacalhau_jupyter.orchestrator.store.transaction import Transaction


async def cut_nobody(node_id: str) -> None:
    """There is no connection that could be ended."""


class Decisions:
    """Approves, rejects and deletes nodes.

    Parameters
    ----------
    members
        The nodes.
    cut
        Ends the connections of a node.
    """

    def __init__(self, members: Members, cut: Callable[[str], Awaitable[None]] = cut_nobody) -> None:
        self._members = members
        self._cut = cut

    async def change(self, reference: str, action: str, message: str) -> None:
        """Approve, reject or delete a node.

        Raises
        ------
        BacalhauError
            No such node or action, or the node is in that state already.
        """
        if action == "delete" and await self._forget_secret(reference):
            return
        members = self._members
        node_id = members.register.full_id(reference)
        if action == "delete":
            await self._delete(node_id)
            return
        membership = {"approve": Membership.APPROVED, "reject": Membership.REJECTED}.get(action)
        if membership is None:
            raise BadRequest(f"unknown node action: {action!r}", hint="Use approve, reject or delete.")
        member = members.register.members[node_id]
        if member.state.membership is membership:
            words = "approved" if membership is Membership.APPROVED else "rejected"
            raise Conflict(f"node {node_id} already {words}", code="ConflictNodeState")
        member.state = replace(member.state, membership=membership)
        if membership is Membership.REJECTED and message:
            new_connection = replace(member.state.connection_state, last_error=message)
            member.state = replace(member.state, connection_state=new_connection)
        members.move()
        await members.put(member)
        members.listener.changed(node_id, membership.value.lower())
        if membership is Membership.APPROVED:
            members.listener.joined()
        else:
            members.listener.gone(node_id)

    async def _forget_secret(self, node_id: str) -> bool:
        """Free an ID that somebody enrolled and never used; False for the ID of a node, which is deleted as a whole."""
        if node_id in self._members.register:
            return False
        is_enrolled = await self._members.store.transact(
            lambda transaction: rows.free(transaction.connection, node_id)
        )
        if is_enrolled:
            await self._cut(node_id)
        return is_enrolled

    async def _delete(self, node_id: str) -> None:
        def delete(transaction: Transaction) -> None:
            rows.delete(transaction.connection, node_id)
            outbox.remove_node(transaction.connection, node_id)

        members = self._members
        del members.register.members[node_id]
        members.dispatcher.forget_node(node_id)
        members.move()
        await members.store.transact(delete)
        # Whoever is connected under this ID would go on as if nothing had happened.
        await self._cut(node_id)
        members.listener.changed(node_id, "deleted")
        members.listener.gone(node_id)
