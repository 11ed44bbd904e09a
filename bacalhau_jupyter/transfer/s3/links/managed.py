"""The bucket that an orchestrator provides: nodes and clients without AWS credentials use it by signed links.

Objects are ``[prefix/]<job ID>/<execution ID>.tar.gz``, as upstream names them.
"""

from __future__ import annotations

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, ConfigurationError, Forbidden
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIX
from bacalhau_jupyter.transfer.s3.requests.errors import boto_errors, s3_failure
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location, missing_package, text_param

TYPE = "s3managed"
COMPONENT = "S3ManagedPublisher"
MAX_EXPIRY_S = 7 * 24 * 3600.0
"""Seconds: no S3 server honours a link for longer."""


class ManagedBucket:
    """Signs links to the results in an orchestrator's bucket. Blocking: credentials may have to be renewed first.

    Parameters
    ----------
    location
        Bucket, region, endpoint; ``key`` is the prefix, or empty.
    expiry_s
        Seconds that a link lives.
    """

    def __init__(self, location: S3Location, expiry_s: float, clock: Clock | None = None) -> None:
        self._location = location
        self._expiry_s = expiry_s
        self._clients = S3Clients(COMPONENT, clock)

    def problem(self) -> str:
        """Say, in one sentence, why no link can be signed now; empty when one can."""
        if sentence := missing_package():
            return sentence
        try:
            # Nothing more: a node waits for this when it starts.
            self._need_credentials()
        except BacalhauError as error:
            return error.message
        return ""

    def key(self, job_id: str, execution_id: str) -> str:
        """Return the key of an execution's archive."""
        prefix = self._location.key.removesuffix("/")
        name = f"{job_id}/{execution_id}{ARCHIVE_SUFFIX}"
        return f"{prefix}/{name}" if prefix else name

    def upload_url(self, job_id: str, execution_id: str) -> str:
        """Return a link that takes the archive by PUT.

        Raises
        ------
        BacalhauError
            The orchestrator has no (valid) AWS credentials, or no boto3.
        """
        return self._url("put_object", job_id, execution_id)

    def sign(self, reference: SpecConfig) -> SpecConfig:
        """Turn an ``s3managed`` reference into a link that is good for a while.

        Raises
        ------
        BacalhauError
            The reference names no execution, or nothing can be signed.
        """
        params = folded(reference.params)
        job_id, execution_id = (text_param(params, name, COMPONENT) for name in ("JobID", "ExecutionID"))
        if not job_id or not execution_id:
            raise BadRequest("the managed result names no job and execution")
        url = self._url("get_object", job_id, execution_id)
        return SpecConfig(type="s3PreSigned", params={"SourceSpec": {}, "PreSignedURL": url, "Managed": True})

    def _need_credentials(self) -> None:
        if self._clients.credentials() is None:
            raise Forbidden(
                "the orchestrator has no AWS credentials to sign links to its managed bucket with",
                hint="give them to the orchestrator by the default AWS chain; the other nodes need none",
            )

    def _url(self, operation: str, job_id: str, execution_id: str) -> str:
        object_params = {"Bucket": self._location.bucket, "Key": self.key(job_id, execution_id)}
        self._need_credentials()
        client = self._clients.client(self._location)
        try:
            url = client.generate_presigned_url(
                operation, Params=object_params, ExpiresIn=max(1, int(self._expiry_s))
            )
        except boto_errors() as error:
            raise s3_failure(error, "sign a link to the managed bucket", COMPONENT) from error
        return str(url)


def managed_location(
    bucket: str, prefix: str, region: str, endpoint: str, expiry_s: float
) -> S3Location | None:
    """Check the settings of a managed bucket; None when there are none.

    Raises
    ------
    ConfigurationError
        Some are there and others are missing or wrong; all of them are named.
    """
    if not (bucket or prefix or region or endpoint):
        return None
    problems = []
    if not bucket:
        problems.append("bucket cannot be empty")
    elif any(sign in bucket for sign in "/?#\\ \0"):
        problems.append(f"bucket {bucket[:80]!r} is not the name of a bucket")
    if not region:
        problems.append("region cannot be empty")
    if expiry_s <= 0:
        problems.append("pre-signed URL expiration must be greater than zero")
    elif expiry_s > MAX_EXPIRY_S:
        problems.append("pre-signed URL expiration must not be longer than 7 days, the most that S3 allows")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        problems.append("endpoint must be an http or https URL")
    if problems:
        raise ConfigurationError(
            f"invalid S3 managed publisher configuration: {', '.join(problems)}",
            hint="set Publishers.Types.S3Managed.Bucket and .Region, or none of its keys",
            component="Config",
        )
    return S3Location(bucket, prefix.lstrip("/"), region, endpoint.rstrip("/"))
