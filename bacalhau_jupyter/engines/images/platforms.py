"""For which machine an image is."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "arm64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "i386": ("386", ""),
}
_ARM = ("v5", "v6", "v7", "v8")


@dataclass(frozen=True)
class Platform:
    """An operating system and processor, in the words of image indexes."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def runs(self, other: Platform) -> bool:
        """Whether programs for another platform run on this one."""
        if (self.os, self.architecture) != (other.os, other.architecture):
            return False
        if self.architecture == "arm" and {self.variant, other.variant} <= set(_ARM):
            return _ARM.index(other.variant) <= _ARM.index(self.variant)
        # Levels of amd64 (v2, v3) can't be told here: only the plain one runs for certain.
        return other.variant in ("", "v1", self.variant)

    def best(self, others: Sequence[Platform]) -> int | None:
        """Return which of some platforms fits best; None if none does."""
        fitting = [index for index, other in enumerate(others) if self.runs(other)]
        return max(fitting, key=lambda index: (others[index].variant, -index), default=None)


def own_platform() -> Platform:
    """Return this machine's: images are for Linux, wherever the node runs."""
    machine = platform.machine().lower()
    return Platform("linux", *_ARCHITECTURES.get(machine, (machine, "")))
