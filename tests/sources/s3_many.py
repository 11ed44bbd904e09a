"""Fetches an S3 input in a process of its own, and prints how much memory that took: ``python -m … BUCKET URL DIR``."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.source import FetchRequest
from bacalhau_jupyter.sources.s3 import S3Source


async def main(bucket: str, url: str, directory: Path) -> None:
    source = S3Source(
        PluginOptions(node_id="n-1", data_dir=directory, settings={"S3.TrustedEndpoints": [url]}.get)
    )
    execution = Execution(id="e-1", job=Job(count=1))

    def asked(key: str) -> InputSource:
        params = {"Bucket": bucket, "Key": key, "Endpoint": url, "Region": "us-east-1"}
        return InputSource(source=SpecConfig(type="s3", params=params), target="/inputs")

    # What boto3 takes is none of the objects' business.
    (directory / "one").mkdir()
    await source.fetch(FetchRequest(execution, asked("first"), directory / "one"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = await source.size(execution, asked("many/"))
    (directory / "many").mkdir()
    mount = await source.fetch(FetchRequest(execution, asked("many/"), directory / "many"))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await source.close()
    report = {"size": size, "grown": (after - before) * 1024, "path": str(mount.path)}
    sys.stdout.write(json.dumps(report))


asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
