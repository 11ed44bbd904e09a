"""References of images: which registry, repository, and tag or digest a name means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bacalhau_jupyter.engines.registries.credentials import HUB
from bacalhau_jupyter.engines.registries.names import image_invalid, is_reference, registry_of

_LIBRARY = "library/"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})")


@dataclass(frozen=True)
class Reference:
    """An image by name.

    Attributes
    ----------
    registry
        Its host, with a port perhaps; Docker Hub is ``docker.io``.
    digest
        ``sha256:…`` of a manifest; empty: ``tag`` counts.
    """

    registry: str
    repository: str
    tag: str
    digest: str = ""

    @property
    def name(self) -> str:
        """The same for all spellings: ``docker.io/library/busybox:latest``."""
        end = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"{self.registry}/{self.repository}{end}"

    @property
    def shown(self) -> str:
        """As people write it: ``busybox:latest``."""
        return self.name.removeprefix(f"{HUB}/").removeprefix(_LIBRARY)

    def pinned(self, digest: str) -> Reference:
        """Return the reference of one manifest in the same repository."""
        return Reference(self.registry, self.repository, self.tag, digest)


def parse(text: str) -> Reference:
    """Return what a name means.

    Raises
    ------
    EngineError
        ``ImageInvalid``: it is no name of an image, or has a digest of another kind than SHA-256.
    """
    if not is_reference(text):
        raise image_invalid(text)
    head, _, digest = text.partition("@")
    if digest and not is_digest(digest):
        raise image_invalid(text)
    registry = registry_of(head)
    first, slash, rest = head.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    path = rest if is_host else head
    name, colon, tag = path.rpartition(":")
    repository = name if colon else path
    if registry == HUB and "/" not in repository:
        repository = _LIBRARY + repository
    return Reference(registry, repository, tag if colon else "latest", digest)


def is_digest(text: object) -> bool:
    """Whether it is a SHA-256 as registries write it."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def id_prefix(text: str) -> str:
    """Return the hex digits of an image ID, whole or its beginning (12 at least); empty if it is not one."""
    match = _ID.fullmatch(text)
    return match[1] if match else ""
