"""Publisher ``local``: results stay on this host as one archive per execution.

What is stored with the execution is a reference that never goes stale; the results route turns it into a signed
URL when it is read (`transfer.signing`), so a restart on another port a day later changes nothing.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import BadRequest, IOFailure
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.spec import SpecConfig
from bacalhau_jupyter.publishers.base import Availability, Bid, PublishRequest
from bacalhau_jupyter.transfer.archives import pack_tar_gz
from bacalhau_jupyter.transfer.files import io_failure
from bacalhau_jupyter.transfer.signing import LOCAL, local_reference

if TYPE_CHECKING:
    from bacalhau_jupyter.engines.base import PluginOptions

_COMPONENT = "LocalPublisher"
_EXECUTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")


class LocalPublisher:
    """Packs results to ``<data_dir>/results/local-publisher/<execution ID>.tar.gz`` (0600 in 0700)."""

    type = LOCAL

    def __init__(self, options: PluginOptions) -> None:
        self._data_dir = options.data_dir
        self._node_id = options.node_id

    async def probe(self) -> Availability:
        """Make the directory, and remove what a crash left half written in it."""
        try:
            await asyncio.to_thread(_open_directory, results_directory(self._data_dir))
        except OSError as error:
            failure = io_failure(error, "write to", results_directory(self._data_dir), _COMPONENT)
            return Availability(available=False, problem=failure.message)
        return Availability(available=True)

    async def bid(self, execution: Execution, spec: SpecConfig) -> Bid:
        return Bid(accepted=True)

    async def publish(self, request: PublishRequest) -> SpecConfig:
        execution = request.execution
        target = result_path(self._data_dir, execution.id)
        try:
            await asyncio.to_thread(target.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
            await pack_tar_gz(request.directory, target, aliases=request.aliases, progress=request.progress)
        except OSError as error:
            raise io_failure(error, "write", target, _COMPONENT) from error
        except IOFailure as error:
            raise IOFailure(
                f"the results could not be published: {error.message}", hint=error.hint, component=_COMPONENT
            ) from error
        return local_reference(execution.id, self._node_id)

    async def close(self) -> None:
        return


def results_directory(data_dir: Path) -> Path:
    """Return where a compute node with this directory keeps published results."""
    return data_dir / "results" / "local-publisher"


def result_path(data_dir: Path, execution_id: str) -> Path:
    """Return where the archive of an execution is, or would be.

    Raises
    ------
    BadRequest
        The ID is not one: letters, digits and dashes.
    """
    if not _EXECUTION_ID.fullmatch(execution_id):
        raise BadRequest(f"{execution_id[:80]!r} is not an execution ID", component=_COMPONENT)
    return results_directory(data_dir) / f"{execution_id}.tar.gz"


def _open_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    for part in directory.glob(".*.part"):
        part.unlink(missing_ok=True)
