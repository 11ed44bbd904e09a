"""Resources as numbers: what a node has, what an execution holds."""

from __future__ import annotations

from bacalhau_jupyter.models.codec import Wire, always


class GPU(Wire):
    """One GPU. ``memory`` is in MiB; ``index`` is the vendor's own count."""

    index: int = always(0)
    name: str = always("")
    vendor: str = always("")
    memory: int = always(0)
    pci_address: str = always("")

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from the other GPUs of its host."""
        return self.vendor, self.index


class Resources(Wire):
    """CPU in cores, memory and disk in bytes, GPUs as a count and, on a node, one by one."""

    cpu: float = 0.0
    memory: int = 0
    disk: int = 0
    gpu: int = 0
    gpus: list[GPU] = []

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            cpu=_round(self.cpu + other.cpu),
            memory=self.memory + other.memory,
            disk=self.disk + other.disk,
            gpu=self.gpu + other.gpu,
            gpus=[*self.gpus, *other.gpus],
        )

    def minus(self, other: Resources) -> Resources:
        """Take ``other`` away; no member goes below zero."""
        taken = {gpu.key for gpu in other.gpus}
        return Resources(
            cpu=max(0.0, _round(self.cpu - other.cpu)),
            memory=max(0, self.memory - other.memory),
            disk=max(0, self.disk - other.disk),
            gpu=max(0, self.gpu - other.gpu),
            gpus=[gpu for gpu in self.gpus if gpu.key not in taken],
        )

    def fits(self, capacity: Resources) -> bool:
        """Whether this request fits into ``capacity``."""
        return (
            self.cpu <= capacity.cpu + 1e-9
            and self.memory <= capacity.memory
            and self.disk <= capacity.disk
            and self.gpu <= capacity.gpu
        )

    @property
    def is_zero(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.cpu or self.memory or self.disk or self.gpu)


def _round(cores: float) -> float:
    # Sums of 0.1 must not drift: a job that fitted once must fit again.
    return round(cores, 6)
