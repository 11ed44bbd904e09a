"""The values of a function that was called once per item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from bacalhau_jupyter.client.jobs.many import Member
from bacalhau_jupyter.client.tables.parameters import as_frame


class Mapped(Sequence[Any]):
    """The values of all calls, in the order of the items; `df` puts them into one frame.

    Parameters
    ----------
    values
        A value per item.
    parameters
        The items, by the name of the function's parameter.
    members
        The jobs behind them.
    """

    def __init__(
        self, values: Sequence[Any], parameters: Sequence[Mapping[str, Any]], members: Sequence[Member]
    ) -> None:
        self._values = list(values)
        self._parameters = list(parameters)
        self.members = list(members)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._values[index]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def df(self) -> Any:
        """Return one frame: frames below each other, else a row per value; items are the first column.

        Raises
        ------
        BacalhauError
            The values don't fit into one frame.
        """
        return as_frame(self._values, self._parameters)

    def __repr__(self) -> str:
        return repr(self._values)
