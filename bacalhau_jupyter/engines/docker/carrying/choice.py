"""Which image of this machine a job on another one gets, and bringing it there. Everything here blocks.

An image that was built here is the one that is meant, also where the other engine has one of the same name: it may be
an older one, or somebody else's. It is run by its ID then, and the name stays with whom it is. What came from a
registry is fetched from there; where that fails, it is copied, too.
"""

from __future__ import annotations

import dataclasses

from bacalhau_jupyter.engines.docker.carrying.copying import PHASE, ImageCopier
from bacalhau_jupyter.engines.docker.carrying.plan import Image
from bacalhau_jupyter.engines.docker.daemon import engine_error
from bacalhau_jupyter.engines.docker.registry.pulls import Abort, Pull, Pulls
from bacalhau_jupyter.engines.docker.registry.replies import wrong_platform
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.plugins.contract import ACCEPTED, Bid, Progress, Reading
from bacalhau_jupyter.plugins.rates import with_rate


class NearImages:
    """The images of this machine, for one engine elsewhere; safe to use from several threads.

    Parameters
    ----------
    platform
        Of the other engine.
    """

    def __init__(self, copier: ImageCopier, platform: str) -> None:
        self._copier = copier
        self._platform = platform
        self._copies = Pulls()

    def built(self, name: str) -> Image | None:
        """Return the image that a job must get because it was built here; None where the name decides."""
        image = self.find(name)
        if image is None or not image.built or image.platform != self._platform:
            return None
        return image if self._copier.same_ids() else None

    def find(self, name: str) -> Image | None:
        """Return the image of this machine; None where it has none."""
        return self._copier.find(name)

    def bid(self, name: str, image: Image) -> Bid:
        """Accept an image, and say how much of it has to be copied; refuse one for another platform."""
        if image.platform != self._platform:
            return wrong_platform([image.platform], self._platform)
        if self._copier.same_ids() and self._copier.there(image.id) is not None:
            return ACCEPTED
        size = format_bytes(self._copier.plan(image).size)
        return Bid(accepted=True, note=f"the image {name} will be copied from this machine ({size})")

    def reference(self, name: str, image: Image) -> str:
        """Return what the other engine calls the image once it is there."""
        return image.id if self._copier.same_ids() else name

    def bring(
        self, name: str, image: Image, progress: Progress, abort: Abort, *, replace: bool = False
    ) -> int:
        """Copy an image; who needs the same one waits for the same copy. Return the bytes sent.

        Parameters
        ----------
        replace
            Whether a name that another image has there is taken from it.

        Raises
        ------
        BacalhauError
            As `ImageCopier.copy`; ``RequestCancelled`` when aborted.
        """
        sent = 0

        def work(pull: Pull) -> None:
            nonlocal sent
            sent = self._copier.copy(name, image, pull, replace=replace)

        with_rates = with_rate(progress)

        def without_layers(reading: Reading) -> None:
            # Where jobs are shown, files are those of a person.
            with_rates(dataclasses.replace(reading, files=None, files_total=None))

        key, tell = f"{image.id} {name} {replace}", with_rates if replace else without_layers
        self._copies.pull(key, work, PHASE, tell, abort)
        return sent

    def push(self, name: str, progress: Progress, abort: Abort) -> int:
        """Copy an image because a person says so, and name it there; return the bytes sent.

        Raises
        ------
        BacalhauError
            There is no such image here, or as for `bring`.
        """
        image = self._copier.find(name)
        if image is None:
            raise engine_error(
                f'the Docker Engine of this machine has no image "{name}"',
                hint="`docker images` lists those that it has.",
                code="ImageNotFound",
                details={"Image": name},
            )
        return self.bring(name, image, progress, abort, replace=True)
