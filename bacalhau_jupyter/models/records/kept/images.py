"""Images that a node keeps, without a Docker Engine: what it tells of them, and what its owner orders."""

from __future__ import annotations

from bacalhau_jupyter.lib.times import ZERO_TIME
from bacalhau_jupyter.models.codec import Wire, always

FEATURE = "images"
"""With this feature the owner of a node can list, load, pull and remove its images."""

PATH = "/api/v1/compute/images"


class KnownImage(Wire):
    """One image.

    Attributes
    ----------
    names
        As jobs name it.
    digest, image_id
        Of its manifest and of its configuration (``sha256:…``).
    size
        Bytes that it alone takes.
    used
        When a job used it last, or it came.
    holders
        Executions that use it.
    """

    names: list[str] = always([])
    digest: str = always("")
    image_id: str = always("", name="ImageID")
    size: int = always(0)
    used: str = always(ZERO_TIME)
    holders: list[str] = always([])


class KnownImages(Wire):
    """All images of a node, those that were used last first; ``size`` and ``limit`` are in bytes, 0 is no limit."""

    images: list[KnownImage] = always([])
    size: int = always(0)
    limit: int = always(0)


class LoadImages(Wire):
    """The order to take the images of a file or directory of the node's machine."""

    path: str = always("")


class PullImage(Wire):
    """The order to take an image from its registry, by its name or digest."""

    image: str = always("")


class StopPull(Wire):
    """The order to end the pulls of an image that people ordered, by the name that they gave."""

    image: str = always("")


class PullProgress(Wire):
    """How far the pull of an image is.

    Attributes
    ----------
    phase
        What is being done, in words; empty where nothing is.
    done, total
        Bytes; a total of 0 is not known.
    """

    phase: str = always("")
    done: int = 0
    total: int = 0


class RemoveImage(Wire):
    """The order to remove an image, by its name, digest or ID."""

    image: str = always("")
