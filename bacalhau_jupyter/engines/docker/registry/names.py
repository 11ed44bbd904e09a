"""Parts of an image's name."""

from __future__ import annotations

from bacalhau_jupyter.engines.docker.registry.credentials import HUB


def registry_of(image: str) -> str:
    """Return the host of an image's registry."""
    host, slash, _ = image.partition("/")
    named = slash and ("." in host or ":" in host or host == "localhost")
    return HUB if not named or host == f"index.{HUB}" else host


def split(image: str) -> tuple[str, str]:
    """Split into what ``/images/create`` wants: a name, and a tag or digest."""
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    head, colon, tag = image.rpartition(":")
    if colon and "/" not in tag:
        return head, tag
    return image, "latest"
