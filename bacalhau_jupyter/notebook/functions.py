"""``remote`` as people import it: in a kernel, the calls of ``.map`` share one card, as the jobs of a sweep do."""

from __future__ import annotations

from bacalhau_jupyter.client.jobs.interrupts import own_shell
from bacalhau_jupyter.client.jobs.standing import View, offer_view
from bacalhau_jupyter.client.remote.function import remote
from bacalhau_jupyter.notebook.live.many_view import ManyView
from bacalhau_jupyter.notebook.origin import CellOrigin

__all__ = ["remote"]


def _card_of_kernel() -> View | None:
    shell = own_shell()
    return ManyView(CellOrigin(shell)) if getattr(shell, "kernel", None) is not None else None


offer_view(_card_of_kernel)
