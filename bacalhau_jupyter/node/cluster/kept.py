"""What `cluster open` asked for, kept in the repo so that the next start of the node opens the link again."""

from __future__ import annotations

import logging
from pathlib import Path

from bacalhau_jupyter.config.files import io_explained, write_atomic
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.records.cluster import OpenCluster

log = logging.getLogger(__name__)


class KeptOrder:
    """The file of the order; there is none while nobody has opened the cluster.

    Parameters
    ----------
    path
        The file (0600).
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> OpenCluster | None:
        """Return the order; None where there is none, or where the file is damaged: then the link stays closed."""
        try:
            return decode(read_text(self._path), OpenCluster, "order")
        except FileNotFoundError:
            return None
        except (OSError, BadRequest) as error:
            log.warning(
                "the cluster stays closed: %s can't be read (%s); `cluster open` writes it anew",
                self._path,
                error,
            )
            return None

    def write(self, order: OpenCluster) -> None:
        """Keep an order; raises IOFailure where the disk does not take it."""
        with io_explained("can't create", self._path.parent):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self._path, encode(order).decode() + "\n")

    def forget(self) -> None:
        """Remove the order; raises IOFailure where that fails."""
        with io_explained("can't remove", self._path):
            self._path.unlink(missing_ok=True)
