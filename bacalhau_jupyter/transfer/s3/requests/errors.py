"""What S3, botocore and the network say, as one sentence for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.models.errors import (
    BacalhauError,
    BadRequest,
    ConfigurationError,
    EngineError,
    Forbidden,
    NetworkFailure,
    NotFound,
)
from bacalhau_jupyter.transfer.core.addresses import shown_url

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN_KEY = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId"}
_DENIED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled"}
_NO_BUCKET = {"NoSuchBucket"}
_NO_KEY = {"NoSuchKey", "404", "NotFound"}
_ELSEWHERE = {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301", "307"}
_NO_VERSION = {"NoSuchVersion"}
_CHANGED = {"PreconditionFailed", "412"}
_OWNERS = {
    "S3Downloader": "your AWS credentials",
    "S3ManagedPublisher": "the orchestrator's AWS credentials",
}
CHANGED = frozenset(_CHANGED | _NO_KEY)
"""Codes of an object that is not any more what a listing saw."""
CREDENTIALS = frozenset(_EXPIRED | _UNKNOWN_KEY)
"""Codes that say that the credentials are the matter, not the rights or the object."""


def s3_failure(
    error: Exception,
    action: str,
    component: str,
    *,
    signed: bool = True,
    operation: str = "",
    withheld: str = "",
) -> BacalhauError:
    """Turn what boto3 raised into one sentence.

    Parameters
    ----------
    action
        A verb and its object: ``read s3://bucket/key``.
    signed
        Whether the request carried credentials.
    withheld
        The server that did not get those that there are; empty when it got them, or there are none.
    """
    within = getattr(error, "kwargs", {}).get("error")
    if isinstance(within, BacalhauError):
        return within
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    code = str((response.get("Error") or {}).get("Code") or "")
    details = {"Service": "S3"}
    name = operation or getattr(error, "operation_name", "")
    if name:
        details["Operation"] = str(name)
    if request_id := (response.get("ResponseMetadata") or {}).get("RequestId"):
        details["AWSRequestID"] = str(request_id)
    if code:
        details["ErrorCode"] = code
        message = str((response.get("Error") or {}).get("Message") or "")
        return _refused(
            code, message, action, component=component, details=details, signed=signed, withheld=withheld
        )
    if isinstance(error, RuntimeError) and "expired" in str(error):
        return expired(action, component)
    return _unreached(error, action, component, details)


def boto_errors() -> tuple[type[Exception], ...]:
    """Return what boto3's calls raise, for `s3_failure`."""
    from botocore.exceptions import BotoCoreError, ClientError

    # A RuntimeError is botocore's way to say that renewed credentials are over already.
    return BotoCoreError, ClientError, RuntimeError


def expired(action: str, component: str) -> BacalhauError:
    """Return the error for credentials that are over and could not be renewed."""
    return _refused("ExpiredToken", "", action, component=component, details={"Service": "S3"}, signed=True)


def _refused(
    code: str,
    message: str,
    action: str,
    *,
    component: str,
    details: dict[str, str],
    signed: bool,
    withheld: str = "",
) -> BacalhauError:
    def failure(
        kind: type[BacalhauError], reason: str, hint: str = "", retryable: bool = False
    ) -> BacalhauError:
        return kind(
            f"could not {action}: {reason}",
            hint=hint,
            component=component,
            details=details,
            retryable=retryable,
        )

    if code in _NO_BUCKET:
        return failure(NotFound, "there is no such bucket", "check the bucket's name, region and endpoint")
    if code in _NO_VERSION:
        return failure(NotFound, "there is no such version of the object")
    if code in _NO_KEY:
        return failure(
            NotFound, "there is no such object", "end the key with / or * to read all objects below it"
        )
    if code in _EXPIRED:
        return failure(Forbidden, f"{_whose(component)} have expired", "renew them and run the job again")
    if code in _UNKNOWN_KEY:
        return failure(Forbidden, f"{_whose(component)} are not valid there", "check them and the endpoint")
    if code in _DENIED:
        return failure(Forbidden, "access is denied", _rights_hint(signed, component, withheld))
    if code in _ELSEWHERE:
        hint = "name the bucket's own Region; for AWS it may be left out"
        return failure(EngineError, "the bucket is in another region", hint)
    if code in _CHANGED:
        return failure(EngineError, "the object changed meanwhile", "run the job again", retryable=True)
    words = " ".join(message.split())[:200].rstrip(".")
    return failure(EngineError, f"S3 answered {code}" + (f": {words}" if words else ""))


def _whose(component: str) -> str:
    """Name the credentials of the request."""
    return _OWNERS.get(component, "the AWS credentials of this node")


def _rights_hint(signed: bool, component: str, withheld: str) -> str:
    if withheld:
        return (
            f"{withheld} got a request without credentials; "
            f"S3.TrustedEndpoints lists the servers that get {_whose(component)}"
        )
    if signed:
        return (
            f"{_whose(component)} need s3:GetObject (and s3:ListBucket for prefixes), s3:PutObject to publish"
        )
    if component in _OWNERS:
        return "there are no AWS credentials here, so only public buckets can be read"
    return "this node has no AWS credentials, so only public buckets can be read"


def _unreached(error: Exception, action: str, component: str, details: dict[str, str]) -> BacalhauError:
    from botocore import exceptions as boto

    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return Forbidden(
            f"could not {action}: {_whose(component)} are not complete",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, where this program runs",
            component=component,
            details=details,
        )
    if isinstance(error, boto.CredentialRetrievalError | boto.TokenRetrievalError | boto.SSOTokenLoadError):
        return Forbidden(
            f"could not {action}: {_whose(component)} can't be renewed",
            hint="log in again where it runs" if component not in _OWNERS else "log in again",
            component=component,
            details=details,
        )
    if isinstance(error, boto.ParamValidationError | boto.InvalidRegionError | ValueError):
        reason = " ".join(str(error).split())[:200]
        return BadRequest(f"could not {action}: {reason}", component=component, details=details)
    if isinstance(error, boto.ProfileNotFound | boto.ConfigParseError):
        return ConfigurationError(f"could not {action}: {error}", component=component, details=details)
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError):
        return NetworkFailure(
            f"could not {action}: {_network_reason(error)}",
            component=component,
            details=details,
            retryable=True,
        )
    return EngineError(f"could not {action}: {type(error).__name__}", component=component, details=details)


def _network_reason(error: Exception) -> str:
    from botocore import exceptions as boto

    url = shown_url(str(getattr(error, "kwargs", {}).get("endpoint_url") or ""))
    where = f" {'/'.join(url.split('/')[:3])}" if url else " the server"
    if isinstance(error, boto.ReadTimeoutError):
        return f"{where.strip()} sent nothing for {READ_TIMEOUT_S:.0f} s"
    if isinstance(error, boto.ConnectTimeoutError):
        return f"{where.strip()} did not answer within {CONNECT_TIMEOUT_S:.0f} s"
    if isinstance(error, boto.EndpointConnectionError):
        return f"{where.strip()} can't be reached"
    return f"the connection to{where} broke"
