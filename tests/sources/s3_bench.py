"""An S3 source with the calls that a compute node makes, and a bucket for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.source import FetchRequest
from bacalhau_jupyter.sources.s3 import S3Source
from tests.services.node import TEST_SERVERS
from tests.services.s3 import TRUSTED, S3Server

SET = {
    "set1/001.txt": b"1",
    "set1/002.txt": b"22",
    "set1/deep/003.csv": b"333",
    "set2/004.txt": b"4444",
    "set1/empty": b"",
}
BIG = os.urandom(1 << 20) * 70


class Source:
    """A source, and the calls that the compute node makes, in a directory of their own."""

    def __init__(self, root: Path, **settings: Any) -> None:
        keys = {f"InputSources.{name}": value for name, value in settings.items()}
        keys |= {"S3.TrustedEndpoints": TRUSTED, "Compute.AllowListedAddresses": TEST_SERVERS}
        self.plugin = S3Source(PluginOptions(node_id="n-1", data_dir=root, settings=keys.get))
        self.root = root
        self.reports: list[tuple[int, int | None]] = []
        self.files: list[tuple[int | None, int | None]] = []

    def _report(self, reading: Reading) -> None:
        self.files.append((reading.files, reading.files_total))
        self.reports.append((reading.done, reading.total))

    async def fetch(self, params: dict[str, Any], *, count: int = 1, index: int = 0) -> dict[str, bytes]:
        """Fetch into a fresh directory; return what lies there."""
        directory = self.root / f"input-{len(list(self.root.iterdir()))}"
        directory.mkdir(mode=0o700)
        request = FetchRequest(
            Execution(id="e-1", job=Job(count=count), partition_index=index),
            InputSource(source=SpecConfig(type="s3", params=params), target="/inputs"),
            directory,
            self._report,
        )
        mount = await self.plugin.fetch(request)
        self.brought = mount.identity
        assert (mount.target, mount.read_only) == ("/inputs", True)
        assert mount.path.stat().st_mode & 0o777 == 0o755
        files = [path for path in mount.path.rglob("*") if path.is_file()]
        assert all(path.stat().st_mode & 0o444 == 0o444 for path in files)
        return {path.relative_to(mount.path).as_posix(): path.read_bytes() for path in files}

    async def size(self, params: dict[str, Any], *, count: int = 1, index: int = 0) -> int:
        execution = Execution(id="e-1", job=Job(count=count), partition_index=index)
        return await self.plugin.size(execution, InputSource(source=SpecConfig(type="s3", params=params)))

    async def identity(self, params: dict[str, Any], *, count: int = 1, index: int = 0) -> str | None:
        execution = Execution(id=f"e-{len(self.reports)}", job=Job(count=count), partition_index=index)
        item = InputSource(source=SpecConfig(type="s3", params=params), target="/inputs")
        return await self.plugin.identity(execution, item)

    async def bid(self, params: dict[str, Any]) -> str:
        item = InputSource(source=SpecConfig(type="s3", params=params))
        answer = await self.plugin.bid(Execution(id="e-1", job=Job(count=1)), item)
        assert answer.accepted is (answer.reason == "")
        return answer.reason


def at(server: S3Server, bucket: str, key: str = "", **more: Any) -> dict[str, Any]:
    return {"Bucket": bucket, "Key": key, "Endpoint": server.url, "Region": "us-east-1", **more}
