"""Results in a bucket as links that are valid for a while, for clients without credentials."""

from __future__ import annotations

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIX
from bacalhau_jupyter.transfer.s3.requests.access import S3Access
from bacalhau_jupyter.transfer.s3.requests.errors import boto_errors, s3_failure
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location, parse_location
from bacalhau_jupyter.transfer.s3.requests.wire import bucket_region

COMPONENT = "S3ResultSigner"
DEFAULT_EXPIRY_S = 900.0


class S3Presigner:
    """Signs URLs of ``s3`` results with the node's credentials. Blocking: they may have to be renewed first.

    Parameters
    ----------
    expiry_s
        Seconds that a link lives; 0 means 15 minutes.
    access
        Which servers links are signed for; None: all of them.
    """

    def __init__(self, expiry_s: float, clock: Clock | None = None, access: S3Access | None = None) -> None:
        self._expiry_s = expiry_s if expiry_s > 0 else DEFAULT_EXPIRY_S
        self._clients = S3Clients(COMPONENT, clock, access)
        self._regions: dict[S3Location, str] = {}

    def sign(self, reference: SpecConfig) -> SpecConfig:
        """Turn an ``s3`` archive into ``s3PreSigned``; anything else, or without credentials, comes back as it is."""
        if not reference.is_type("s3"):
            return reference
        try:
            location = parse_location(reference.params, COMPONENT)
            if not location.key.endswith(ARCHIVE_SUFFIX) or self._clients.credentials_for(location) is None:
                return reference
            url = self._url(location)
        except BacalhauError:
            # The list of results is still worth having.
            return reference
        return SpecConfig(
            type="s3PreSigned",
            params={"SourceSpec": dict(reference.params), "PreSignedURL": url, "Managed": False},
        )

    def _url(self, location: S3Location) -> str:
        bucket = S3Location(location.bucket, "", location.region, location.endpoint)
        if bucket not in self._regions:
            self._regions[bucket] = bucket_region(self._clients, bucket)
        signed_for = S3Location(location.bucket, "", self._regions[bucket], location.endpoint)
        object_params = {"Bucket": location.bucket, "Key": location.key}
        if location.version_id:
            object_params["VersionId"] = location.version_id
        client = self._clients.client(signed_for)
        try:
            url = client.generate_presigned_url(
                "get_object", Params=object_params, ExpiresIn=max(1, int(self._expiry_s))
            )
        except boto_errors() as error:
            raise s3_failure(error, f"sign a link to {location}", COMPONENT) from error
        return str(url)
