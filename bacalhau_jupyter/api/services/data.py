"""The data that this node could read inputs from."""

from __future__ import annotations

from typing import Protocol

from bacalhau_jupyter.models.wire.api import ListDataResponse


class DataBrowser(Protocol):
    """Shows what this node could read inputs from."""

    async def list(self, uri: str, limit: int, token: str) -> ListDataResponse:
        """Return what lies at a URI; an empty one stands for the places themselves.

        Raises
        ------
        BacalhauError
            The place does not exist, or this node may not read it.
        """
        ...
