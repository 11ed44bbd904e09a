"""Executed copies that come back at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import nbformat
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.server.cluster.connection import ClusterConnection
from bacalhau_jupyter.server.jobs.collector import Awaited, NotebookCollector


class SlowContents(AsyncLargeFileManager):
    """Lets other tasks run before it writes: they look for the file and find none."""

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        for _ in range(10):
            await asyncio.sleep(0)
        saved: dict[str, Any] = await super().save(model, path)
        return saved


async def test_copies_of_one_notebook_that_come_at_once_get_names_of_their_own(tmp_path: Path) -> None:
    contents = SlowContents(root_dir=str(tmp_path))
    connection = ClusterConnection(lambda: Endpoint(url="http://127.0.0.1:1"))
    collector = NotebookCollector(connection, contents, tmp_path)
    jobs = ["j-1", "j-2", "j-3"]
    made: Any = nbformat.v4
    paths = await asyncio.gather(
        *(collector._save(made.new_notebook(), Awaited(job, "a.ipynb", "")) for job in jobs)
    )
    assert sorted(paths) == ["a.out-1.ipynb", "a.out-2.ipynb", "a.out.ipynb"]
    kept = {nbformat.read(tmp_path / path, 4).metadata["bacalhau"]["job_id"] for path in paths}
    assert kept == set(jobs)
