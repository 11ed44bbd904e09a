"""What this machine keeps for jobs: Python environments and packages, images, inputs, results."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from bacalhau_jupyter.models.records.environments import (
    KnownEnvironment,
    PythonDescription,
    RegisteredEnvironment,
)
from bacalhau_jupyter.models.records.kept.images import KnownImages, PullProgress
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.packages import KeepPackages, PackagesState


class Environments(Protocol):
    """The Python environments of this machine that jobs may see."""

    async def register(self, description: PythonDescription) -> RegisteredEnvironment:
        """Keep an environment.

        Raises
        ------
        BacalhauError
            It can't be shown to jobs, or not be kept.
        """
        ...

    async def registered(self) -> list[KnownEnvironment]:
        """Return every environment that is kept."""
        ...


class Packages(Protocol):
    """The sets of Python packages of this machine that jobs may see; methods raise BacalhauError."""

    async def find(self, request: str) -> PackagesState:
        """Return the set that a request was resolved to, else a draft."""
        ...

    async def keep(self, draft: str, order: KeepPackages) -> PackagesState:
        """Turn a draft into a set."""
        ...

    async def drop(self, draft: str) -> None:
        """Give a draft up."""
        ...


class ImageService(Protocol):
    """The images that this node keeps without a Docker Engine. Errors are BacalhauErrors."""

    async def list(self) -> KnownImages:
        """Return all images."""
        ...

    async def load(self, path: str) -> KnownImages:
        """Take the images of a file or directory of this machine; return them."""
        ...

    async def pull(self, image: str) -> KnownImages:
        """Take an image from its registry; return it."""
        ...

    async def stop_pull(self, image: str) -> None:
        """End the pulls of an image that people ordered; jobs that wait for it go on."""
        ...

    def progress(self, image: str) -> AsyncIterator[PullProgress]:
        """Yield how far the pull of an image is, now and at each change, without end."""
        ...

    async def remove(self, image: str) -> DiskUsage:
        """Remove an image that no job uses; return what is gone."""
        ...

    async def clean(self) -> DiskUsage:
        """Remove the images that no job uses; return what is gone."""
        ...


class DiskCleaner(Protocol):
    """Removes what this node keeps and can do without."""

    async def clear_results(self, older_than_s: float) -> DiskUsage:
        """Remove published results of finished jobs, so many seconds old; return what is gone."""
        ...

    async def remove_results(self, execution_ids: Sequence[str]) -> DiskUsage:
        """Remove the results of these executions, whose job is deleted; return what is gone."""
        ...

    async def clear_packages(self) -> DiskUsage:
        """Remove Python packages that no job uses; return what is gone."""
        ...

    async def clear_cache(self) -> DiskUsage:
        """Remove inputs that are kept to be shared; return what is gone."""
        ...
