"""A file of the repo (0600) with what a person ordered: the next start of the node carries it out again."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

from bacalhau_jupyter.config.files import io_explained, write_atomic
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError

Order = TypeVar("Order")


class OrderFile(Generic[Order]):
    """The file; there is none while nobody has ordered anything. All methods block.

    Parameters
    ----------
    path
        The file.
    kind
        What it holds, as JSON.
    purpose
        What it says, as a relative clause of the error's sentence.
    remedy
        What a person does about a file that is damaged.
    """

    def __init__(self, path: Path, kind: type[Order], *, purpose: str, remedy: str) -> None:
        self._path = path
        self._kind = kind
        self._purpose = purpose
        self._remedy = remedy

    def read(self) -> Order | None:
        """Return what was ordered; None where there is no file.

        Raises
        ------
        ConfigurationError
            The file can't be read or understood.
        """
        try:
            return decode(read_text(self._path), self._kind, "order")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError, BadRequest) as error:
            raise ConfigurationError(
                f"{self._path}, which says {self._purpose}, can't be read: {error}",
                hint=self._remedy,
                component="Cluster",
            ) from error

    def write(self, order: Order) -> None:
        """Keep an order in place of the one before; raises IOFailure where the disk does not take it."""
        with io_explained("can't create", self._path.parent):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self._path, encode(order).decode() + "\n")

    def forget(self) -> None:
        """Remove the file; raises IOFailure where that fails."""
        with io_explained("can't remove", self._path):
            self._path.unlink(missing_ok=True)
