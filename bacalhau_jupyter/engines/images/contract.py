"""The seam between who keeps images and who runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.plugins.contract import Progress, no_progress
from bacalhau_jupyter.plugins.images import KeptImage as KeptImage


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of itself (OCI image specification, "config")."""

    architecture: str
    os: str
    variant: str = ""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    env: Sequence[str] = ()
    working_directory: str = ""
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: Sequence[str] = ()
    volumes: Sequence[str] = ()
    stop_signal: str = ""


@dataclass(frozen=True)
class FoundImage:
    """An image as a registry, or this store, describes it, without its layers.

    Attributes
    ----------
    reference
        As it was asked for.
    digest
        Of the manifest for this machine's platform (``sha256:…``).
    image_id
        Digest of its config, as ``docker images --no-trunc`` shows it.
    size
        Bytes of its compressed layers.
    is_here
        Whether it is unpacked already.
    """

    reference: str
    digest: str
    image_id: str
    config: ImageConfig
    size: int
    is_here: bool


@dataclass(frozen=True)
class HeldImage:
    """An unpacked image that stays until it is released.

    ``tree`` is its complete file tree. Nobody writes to it again, and the users of all jobs can read it.
    """

    image: FoundImage
    tree: Path


class ImageStore(Protocol):
    """Images by content. Methods are called on the event loop and never block it.

    All raise ``BacalhauError`` with a sentence for people: no such image, no image for this platform, not allowed,
    the registry does not answer, the registry lies, a layer is broken or hostile, no room.
    """

    async def find(self, reference: str) -> FoundImage:
        """Say what a reference means here: in this store where it is kept, else in its registry (manifest only)."""
        ...

    async def hold(self, reference: str, holder: str, progress: Progress = no_progress) -> HeldImage:
        """Fetch and unpack an image unless it is here, and keep it until ``holder`` (an execution ID) lets it go.

        Two who ask for the same layers at once share one download. Asked again with the same holder, the same image
        is returned, whatever the name means by now.
        """
        ...

    async def held(self, holder: str) -> HeldImage | None:
        """Return what a holder holds, also after a restart of the node."""
        ...

    async def release(self, holder: str) -> None:
        """Let go; unknown: nothing. What nobody holds may be removed when room is needed."""
        ...

    async def load(self, path: Path, progress: Progress = no_progress) -> Sequence[KeptImage]:
        """Take the images of a ``docker save`` archive, an OCI layout directory or an OCI archive."""
        ...

    async def images(self) -> Sequence[KeptImage]:
        """Return what is kept."""
        ...

    async def remove(self, reference_or_digest: str) -> int:
        """Remove an image that nobody holds; return the bytes that it gave back."""
        ...

    async def clean(self) -> int:
        """Remove all that nobody holds, and what broken downloads left; return the bytes that it gave back."""
        ...
