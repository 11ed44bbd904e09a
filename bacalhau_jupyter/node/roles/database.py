"""The database of a role: where it lies, its journal, and the room that it keeps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.filesystems import on_network
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.database import Database, DatabaseError, Migration
from bacalhau_jupyter.lib.reserve import Reserve
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.roles.stopping import bounded

log = logging.getLogger(__name__)

_RESERVE = 1_000_000


async def keep_room(config: Config, repo: Repo) -> Reserve:
    """Keep room on the disk; what an earlier start kept is there for this one where the disk is full now."""
    directory = settings.compute_dir(config, repo)
    repo.directory(directory)
    is_remote = await asyncio.to_thread(on_network, directory)
    reserve = Reserve(directory / "reserve", config["Node.DiskReserve"], is_remote=is_remote)
    if not await asyncio.to_thread(reserve.make) or await asyncio.to_thread(reserve.lacks_room):
        await asyncio.to_thread(reserve.give_back)
    return reserve


async def open_database(
    stack: AsyncExitStack,
    config: Config,
    repo: Repo,
    *,
    path: Path | None,
    migrations: Sequence[Migration],
    reserve: Reserve | None,
) -> Database:
    """Open the database of a role until ``stack`` is closed.

    Parameters
    ----------
    path
        None keeps it in memory.
    reserve
        Gives room back when the disk is full; None keeps none.

    Raises
    ------
    IOFailure
        It can't be opened.
    """
    if path is not None:
        await asyncio.to_thread(_prepare, repo, path)
    # SQLite's WAL needs shared memory, which network file systems don't have.
    delete = path is not None and repo.on_network and not config["Node.StateDir"]
    if delete:
        log.warning("%s lies on a network file system: using a slower journal (see Node.StateDir)", path)
    try:
        database = await Database.open(
            path,
            migrations,
            "delete" if delete else "wal",
            # Ephemeral ones take no disk.
            reserve=0 if path is None or reserve is None else min(reserve.size, _RESERVE),
            make_room=None if reserve is None else reserve.give_back,
        )
    except DatabaseError as error:
        raise IOFailure(str(error), component="Node") from error
    stack.push_async_callback(bounded, "database", database.close)
    return database


def _prepare(repo: Repo, path: Path) -> None:
    repo.directory(path.parent)
    # SQLite gives its journals the mode of the file.
    path.touch(mode=0o600)
