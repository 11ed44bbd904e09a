"""Source ``pythonPackages`` (ours): a set of Python packages that the node's own user registered, read-only.

A spec carries only the set's hash, so its author shows his job nothing that the owner of the node did not resolve.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.packages import SOURCE, KeepPackages, PackagesState, is_set
from bacalhau_jupyter.packages.store import QUOTA, RENEW_AFTER, Limits, PackageStore
from bacalhau_jupyter.plugins.source import Availability, Bid, FetchRequest, InputMount, not_brought

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions


class PythonPackagesSource:
    """Mounts sets of packages; reads ``Packages.Quota`` and ``Packages.RenewAfter``."""

    types: tuple[str, ...] = (SOURCE.lower(),)

    def __init__(self, options: PluginOptions) -> None:
        limits = Limits(int(options.settings(QUOTA) or 0), float(options.settings(RENEW_AFTER) or 0))
        self.packages = Packages(options, limits)

    async def probe(self) -> Availability:
        await self.packages.open()
        return Availability(available=True)

    async def bid(self, execution: Execution, input_source: InputSource) -> Bid:
        try:
            await asyncio.to_thread(self.packages.store.note_use, self._set(input_source), execution.id)
        except BacalhauError as error:
            return not_brought(error)
        return Bid(accepted=True)

    async def size(self, execution: Execution, input_source: InputSource) -> int:
        """Return 0: the set is on this disk already."""
        return 0

    async def fetch(self, request: FetchRequest) -> InputMount:
        name = self._set(request.input)
        await asyncio.to_thread(self.packages.store.note_use, name, request.execution.id)
        site = await asyncio.to_thread(self.packages.store.site, name)
        if site is None:
            raise _unknown(name)
        return InputMount(site, request.input.target, read_only=True, settled=True)

    async def is_local(self, execution: Execution, input_source: InputSource) -> bool:
        """Say that a set is never fetched by a job."""
        return True

    async def close(self) -> None:
        return

    def _set(self, input_source: InputSource) -> str:
        name = input_source.source.param("Set")
        if not is_set(name):
            raise BadRequest("an input of pythonPackages names a set by its hash (Params.Set)")
        if self.packages.store.site(str(name)) is None:
            raise _unknown(str(name))
        return str(name)


class Packages:
    """The packages of one node as its API sees them (``plugins.source.Packages``)."""

    def __init__(self, options: PluginOptions, limits: Limits) -> None:
        # Beside the executions: a draft may be as large as the disk, and nothing there belongs to one job.
        self.store = PackageStore(
            options.data_dir.with_name("packages"),
            limits,
            clock=options.clock,
            free=lambda path: shutil.disk_usage(path).free,
        )
        self._unfinished = options.unfinished

    async def open(self) -> None:
        """Take up what is there."""
        await asyncio.to_thread(self.store.open)

    async def find(self, request: str) -> PackagesState:
        """Return the set of a request, or a draft for it."""
        return await asyncio.to_thread(self.store.find, request)

    async def keep(self, draft: str, order: KeepPackages) -> PackagesState:
        """Turn a draft into a set."""
        unfinished = await self._unfinished()
        return await asyncio.to_thread(self.store.keep, draft, order, unfinished)

    async def drop(self, draft: str) -> None:
        """Give a draft up."""
        await asyncio.to_thread(self.store.drop, draft)

    async def clear(self) -> DiskUsage:
        """Remove what no job uses."""
        unfinished = await self._unfinished()
        return await asyncio.to_thread(self.store.clear, unfinished)

    def usage(self) -> DiskUsage:
        """Say how much is kept."""
        return self.store.usage()


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"it has no packages {name[:12]}: its own user registers them",
        hint="run the cell with --pip from a kernel on the node's machine",
    )
