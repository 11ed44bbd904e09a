"""What is copied to one host at a person's order: one image at a time, told as it goes, and ended on wish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from bacalhau_jupyter.lib.ordered.news import News
from bacalhau_jupyter.lib.ordered.stopping import unless_stopped
from bacalhau_jupyter.models.errors import BadRequest, Conflict, EngineError, NotFound
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.host_orders import HostProgress
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.models.text import is_readable
from bacalhau_jupyter.node.hosts.naming import COMPONENT
from bacalhau_jupyter.node.hosts.ways import PushingEngine

_IMAGE_LIMIT = 300


class Copying:
    """The copies to one host.

    Parameters
    ----------
    host
        What people call it.
    trouble
        Says why the host can't be reached now; empty where it can.
    """

    def __init__(self, host: str, trouble: Callable[[], str]) -> None:
        self._host = host
        self._trouble = trouble
        self._image = ""
        self._reading: Reading | None = None
        self._task: asyncio.Task[int] | None = None
        self._news = News(self.progress)

    @property
    def text(self) -> str:
        """What is being copied, and how far that is; empty for nothing."""
        return self.progress().text

    def progress(self) -> HostProgress:
        """Return how far the copy is."""
        if not self._image:
            return HostProgress()
        reading = self._reading or Reading("")
        size = f"{format_bytes(reading.done)}/{format_bytes(reading.total)}" if reading.total else ""
        many = reading.files_total or 0
        layers = f"layer {min((reading.files or 0) + 1, many)} of {many}" if many else ""
        trouble = self._trouble()
        parts = [part for part in (layers, "" if trouble else reading.note) if part]
        words = " ".join(part for part in (f"copying image {self._image}", size) if part)
        text = ", ".join([words, *parts]) + (f" (waiting: {trouble})" if trouble else "")
        return HostProgress(
            text=text, image=self._image, done=reading.done, total=reading.total or 0, note=", ".join(parts)
        )

    def follow(self) -> AsyncIterator[HostProgress]:
        """Yield how far it is, now and at each change, until the reader goes."""
        return self._news.follow()

    def tell(self) -> None:
        """Tell who follows that something is new."""
        self._news.tell()

    async def push(self, engine: PushingEngine, image: str) -> int:
        """Copy an image of this machine's Docker Engine; return how many bytes were sent.

        Raises
        ------
        BacalhauError
            There is no such image, something is being copied there already, or it was stopped.
        """
        image = image.strip()
        if not image or len(image) > _IMAGE_LIMIT or not is_readable(image) or image.startswith("-"):
            raise BadRequest(
                f"{shown(image[:80])!r} is not the name of an image",
                hint="my-image:latest",
                component=COMPONENT,
            )
        if self._task is not None:
            raise Conflict(f"host {self._host} is busy: {self.text}", component=COMPONENT)
        loop = asyncio.get_running_loop()

        def note(reading: Reading) -> None:
            self._reading = reading
            self.tell()

        def progress(reading: Reading) -> None:
            loop.call_soon_threadsafe(note, reading)

        self._image, self._reading = image, None
        task = self._task = asyncio.create_task(
            engine.push(image, progress), name=f"copying an image to {self._host}"
        )
        self.tell()
        try:
            return await unless_stopped(
                task,
                lambda: Conflict(
                    f"the copy of {image} to host {self._host} was stopped: nothing of it is there",
                    component=COMPONENT,
                ),
            )
        except EngineError as error:
            if error.code != "ImageNotFound":
                raise
            # It is the caller who named it: this node itself is well.
            raise NotFound(error.message, hint=error.hint, component=COMPONENT) from error
        finally:
            self._task, self._image, self._reading = None, "", None
            self.tell()

    async def stop(self) -> bool:
        """End the copy; False where nothing is copied."""
        task = self._task
        if task is None:
            return False
        task.cancel()
        await asyncio.wait({task})
        return True
