"""How far a pull is: one figure out of many layers."""

from __future__ import annotations

from bacalhau_jupyter.models.records.progress import Progress, Reading

PULLING, UNPACKING = "pulling image", "unpacking image"


class PullCount:
    """Adds up what was downloaded and unpacked of each layer; neither figure ever falls.

    Parameters
    ----------
    total
        Bytes of all compressed layers.
    """

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = total
        self._progress = progress
        self._downloaded: dict[str, int] = {}
        self._unpacked: dict[str, int] = {}

    def downloaded(self, layer: str, done: int) -> None:
        """Note the bytes that came of a layer."""
        self._downloaded[layer] = max(self._downloaded.get(layer, 0), done)
        self._tell()

    def unpacked(self, layer: str, done: int) -> None:
        """Note the compressed bytes that were unpacked of a layer."""
        self._unpacked[layer] = max(self._unpacked.get(layer, 0), done)
        self._tell()

    def finished(self, layer: str, size: int) -> None:
        """Note that a layer is here."""
        self._downloaded[layer] = self._unpacked[layer] = size
        self._tell()

    def _tell(self) -> None:
        came = sum(self._downloaded.values())
        if came < self._total:
            self._progress(Reading(PULLING, came, self._total))
        else:
            self._progress(Reading(UNPACKING, sum(self._unpacked.values()), self._total))
