"""Publisher ``s3``: results go to a bucket, as one archive (``gzip``) or file by file (``plain``).

The archive is packed into the upload itself: no second copy of the results lies on the disk. Encryption, storage class
and life time are the bucket's own business.
"""

from __future__ import annotations

import asyncio
import datetime
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Forbidden, IOFailure
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.published import published_key
from bacalhau_jupyter.plugins.publisher import Availability, Bid, PublishRequest
from bacalhau_jupyter.plugins.s3_clients import ConfiguredS3
from bacalhau_jupyter.transfer.archive.packing import pack_into
from bacalhau_jupyter.transfer.core.files import run_interruptible
from bacalhau_jupyter.transfer.s3.requests.access import is_aws
from bacalhau_jupyter.transfer.s3.requests.location import (
    S3Location,
    parse_location,
    text_param,
)
from bacalhau_jupyter.transfer.s3.writing.upload import ObjectWriter, Uploaded
from bacalhau_jupyter.transfer.s3.writing.upload_files import upload_files

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions

COMPONENT = "S3Publisher"
MAX_KEY = 1024
"""Bytes that S3 allows a key."""


@dataclass(frozen=True)
class S3Target:
    """A decoded ``s3`` publisher: where to, and whether as one archive."""

    location: S3Location
    archive: bool = True


def parse_target(spec: SpecConfig) -> S3Target:
    """Read the parameters of an ``s3`` publisher; names in any case.

    Raises
    ------
    BadRequest
        A parameter is missing or wrong; it is named.
    """
    params = folded(spec.params)
    location = parse_location(spec.params, COMPONENT)
    if not location.key.strip("/ "):
        raise BadRequest("Key of the S3 publisher is missing")
    encoding = text_param(params, "Encoding", COMPONENT).strip().lower() or "gzip"
    if encoding not in ("gzip", "plain"):
        raise BadRequest(f"Encoding {encoding!r} is not gzip or plain")
    return S3Target(replace(location, version_id=""), encoding == "gzip")


class S3Publisher:
    """Uploads results with the credentials of the node."""

    type = "s3"

    def __init__(self, options: PluginOptions) -> None:
        self._node_id = options.node_id
        self._clock = options.clock
        self._s3 = ConfiguredS3(options.settings, options.clock, COMPONENT)

    async def probe(self) -> Availability:
        """Need boto3 only: credentials may come later, and the bid looks for them."""
        return await self._s3.probe()

    async def bid(self, execution: Execution, spec: SpecConfig) -> Bid:
        try:
            target = parse_target(spec)
            await asyncio.to_thread(self._need_credentials, target.location)
        except BacalhauError as error:
            way_out = f" ({error.hint})" if error.hint else ""
            return Bid(accepted=False, reason=f"this node can't publish to S3: {error.message}{way_out}")
        return Bid(accepted=True)

    async def publish(self, request: PublishRequest) -> SpecConfig:
        job = request.execution.job
        if job is None or not job.tasks:
            raise BadRequest(f"execution {request.execution.id} has no job")
        target = parse_target(job.task.publisher)
        now = datetime.datetime.fromtimestamp(self._clock.now_ns() / SECOND).astimezone()
        key = published_key(
            target.location.key,
            job_id=request.execution.job_id,
            execution_id=request.execution.id,
            node_id=self._node_id,
            now=now,
            archive=target.archive,
        )
        location = replace(target.location, key=key)
        work = self._archive if target.archive else self._files
        try:
            uploaded = await run_interruptible(lambda stop: work(request, location, stop))
        except IOFailure as error:
            raise IOFailure(
                f"the results could not be published: {error.message}", hint=error.hint
            ) from error
        return _reference(location, uploaded)

    async def close(self) -> None:
        await self._s3.close()

    def _need_credentials(self, location: S3Location) -> None:
        self._s3.access().need(location.endpoint, COMPONENT)
        if self._s3.clients.credentials_for(location) is None:
            raise Forbidden("it has no AWS credentials")

    def _archive(self, request: PublishRequest, location: S3Location, stop: threading.Event) -> Uploaded:
        self._need_credentials(location)
        # Other servers often refuse the newer checksums.
        with ObjectWriter(
            self._s3.clients,
            location,
            checksum=is_aws(location.endpoint),
            content_type="application/gzip",
            stop=stop,
        ) as writer:
            pack_into(
                request.gathering(COMPONENT),
                cast("BinaryIO", writer),
                # Bytes of results, which have a total; what is still to be sent of them are a few parts at most.
                progress=request.progress,
                stop=stop,
            )
        return writer.result

    def _files(self, request: PublishRequest, location: S3Location, stop: threading.Event) -> Uploaded:
        self._need_credentials(location)
        max_name = MAX_KEY - len(location.key.encode())
        source = request.gathering(COMPONENT, links=False, max_name=max_name)
        upload_files(self._s3.clients, location, source, progress=request.progress, stop=stop)
        return Uploaded()


def _reference(location: S3Location, uploaded: Uploaded) -> SpecConfig:
    params: dict[str, Any] = {
        "Bucket": location.bucket,
        "Key": location.key,
        "Region": location.region,
        "Endpoint": location.endpoint,
        "ChecksumSHA256": uploaded.sha256,
        "VersionID": uploaded.version_id,
    }
    return SpecConfig(type="s3", params={name: value for name, value in params.items() if value})
