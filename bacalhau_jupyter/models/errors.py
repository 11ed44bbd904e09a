"""The exception tree.

::

    BacalhauError
    ├── BadRequest            400  the caller sent something that can't be understood
    │   └── ValidationError   400  a well-formed spec breaks a rule; every broken rule is in the text
    ├── Unauthorized          401
    ├── Forbidden             403
    ├── NotFound              404
    ├── Conflict              409  the resource exists or is in another state
    ├── ResourceExhausted     429
    ├── HandshakeRequired     428
    ├── NotImplementedHere    501
    ├── ServiceUnavailable    503
    ├── VersionMismatch       500
    ├── ConfigurationError    500  a config key or flag is wrong
    ├── IOFailure             500  disk or file trouble (full disk, unreadable path)
    ├── NetworkFailure        500  the other side can't be reached
    ├── TimedOut              500
    ├── Cancelled             500
    └── EngineError           500  an engine, source or publisher could not do its work

The same object becomes the API's error JSON, the CLI's two lines and the cell's short traceback.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.lib.masking import mask_secrets
from bacalhau_jupyter.lib.origin import component_of_caller
from bacalhau_jupyter.models.text import readable

HINT = "Hint"
"""Detail of a state or an event that says what to do."""
CAPACITY = "Capacity"
"""Detail of an event: a node has no room now, so that the job waits or goes elsewhere."""
FAILS_JOB = "FailsJob"
"""Detail of an execution's failure after which its job is not run again."""


def _tellable(text: str) -> str:
    """Replace values that JSON can't hold, and secrets.

    File names may hold bytes that are not UTF-8 (Python makes them surrogates), URLs may hold passwords.
    """
    return mask_secrets(text.encode("utf-8", "backslashreplace").decode())


class BacalhauError(Exception):
    """Base of every error a person or client may see.

    Parameters
    ----------
    message
        One clear sentence that names the field, the value or the reason.
    hint
        What to do next; empty when there is nothing useful to say.
    code
        Machine-readable code from Bacalhau's vocabulary; defaults to the class's own.
    component
        The part that noticed, for example ``JobStore`` or ``Docker``; defaults to the ``COMPONENT`` of the module or
        room whose code makes the error.
    retryable
        Whether the same request may succeed later.
    fails_execution
        Whether an execution that meets this error is over.
    fails_job
        Whether the job is over, too: running it again would not help, or would throw away what was done.
    details
        Further facts, string to string.
    status
        HTTP status to answer with; defaults to the class's own.
    """

    default_code = "InternalError"
    default_status = 500

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str | None = None,
        component: str = "",
        retryable: bool = False,
        fails_execution: bool = False,
        fails_job: bool = False,
        details: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        message = _tellable(message)
        super().__init__(message)
        self.message = message
        self.hint = _tellable(hint)
        self.code = self.default_code if code is None else code
        self.component = component or component_of_caller(__name__) or "Bacalhau"
        self.retryable = retryable
        self.fails_execution = fails_execution
        self.fails_job = fails_job
        self.details = {name: _tellable(text) for name, text in (details or {}).items()}
        self.status = self.default_status if status is None else status

    def __str__(self) -> str:
        return self.message

    def envelope(self, request_id: str = "") -> dict[str, Any]:
        """Return the API's error JSON as a plain dict.

        Keys: ``Status``, ``Message``, ``RequestID``, ``Code``, ``Component`` and, when set, ``Hint`` and ``Details``.
        """
        body: dict[str, Any] = {
            "Status": self.status,
            "Message": self.message,
            "RequestID": request_id,
            "Code": self.code,
            "Component": self.component,
        }
        if self.hint:
            body[HINT] = self.hint
        if self.details:
            body["Details"] = dict(self.details)
        return body

    def summary_lines(self) -> list[str]:
        """Return what a person needs: the sentence, then the hint; others wrote parts of both."""
        lines = [f"{type(self).__name__}: {readable(self.message, lines=True)}"]
        if self.hint:
            lines.append(f"Hint: {readable(self.hint, lines=True)}")
        return lines

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of a stack trace; the exception itself stays a real one.
        red, plain = "\x1b[31m", "\x1b[0m"
        first, *rest = self.summary_lines()
        name, colon, text = first.partition(":")
        return [f"{red}{name}{plain}{colon}{text}", *rest]

    def event_details(self) -> dict[str, str]:
        """Return the ``Details`` of the history event that reports this error."""
        details = {"IsError": "true", **self.details}
        if self.code and self.default_code != self.code:
            details["ErrorCode"] = f"{self.component}:{self.code}"
        if self.hint:
            details[HINT] = self.hint
        if self.retryable:
            details["Retryable"] = "true"
        if self.fails_execution:
            details["FailsExecution"] = "true"
        if self.fails_job:
            details[FAILS_JOB] = "true"
        return details


class BadRequest(BacalhauError):
    """The request can't be understood."""

    default_code = "BadRequest"
    default_status = 400


class ValidationError(BadRequest):
    """A spec breaks one or more rules.

    Parameters
    ----------
    problems
        Every broken rule, one sentence each; joined by newlines in the message.
    """

    default_code = "ValidationError"

    def __init__(self, problems: str | list[str], **kwargs: Any) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems), **kwargs)


class Unauthorized(BacalhauError):
    """No credential, or one that is not known."""

    default_code = "Unauthorized"
    default_status = 401


class Forbidden(BacalhauError):
    """The caller is known but may not do this."""

    default_code = "Forbidden"
    default_status = 403


class NotFound(BacalhauError):
    """The thing asked for does not exist."""

    default_code = "NotFound"
    default_status = 404


class Conflict(BacalhauError):
    """The thing exists already, or its state does not allow the request."""

    default_code = "ResourceInUse"
    default_status = 409


class ResourceExhausted(BacalhauError):
    """A limit is reached."""

    default_code = "ResourceExhausted"
    default_status = 429


class HandshakeRequired(BacalhauError):
    """A compute node talks to an orchestrator that does not know it (yet, or any more)."""

    default_code = "HandshakeRequired"
    default_status = 428


class NotImplementedHere(BacalhauError):
    """The feature does not exist on this node."""

    default_code = "NotImplemented"
    default_status = 501


class ServiceUnavailable(BacalhauError):
    """The node can't serve the request now."""

    default_code = "ServiceUnavailable"
    default_status = 503


class VersionMismatch(BacalhauError):
    """Client and server don't fit together."""

    default_code = "VersionMismatch"


class ConfigurationError(BacalhauError):
    """A configuration key, flag or file is wrong."""

    default_code = "ConfigurationError"


class IOFailure(BacalhauError):
    """Disk or file trouble: full disk, unreadable path, broken archive."""

    default_code = "IOError"


class NetworkFailure(BacalhauError):
    """The other side can't be reached or hung up."""

    default_code = "NetworkFailure"


class TimedOut(BacalhauError):
    """Something took longer than it may."""

    default_code = "TimeOut"


class Cancelled(BacalhauError):
    """The request was cancelled."""

    default_code = "RequestCancelled"


class EngineError(BacalhauError):
    """An engine, source or publisher could not do its work; ``component`` names it."""

    default_code = "SystemError"


_BY_CODE: dict[str, type[BacalhauError]] = {
    cls.default_code: cls
    for cls in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        Conflict,
        ResourceExhausted,
        HandshakeRequired,
        NotImplementedHere,
        ServiceUnavailable,
        VersionMismatch,
        ConfigurationError,
        IOFailure,
        NetworkFailure,
        TimedOut,
        Cancelled,
    )
}

_BY_STATUS: dict[int, type[BacalhauError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    428: HandshakeRequired,
    429: ResourceExhausted,
    501: NotImplementedHere,
    503: ServiceUnavailable,
}


def error_from_envelope(body: Mapping[str, Any], status: int) -> BacalhauError:
    """Rebuild the exception a server described.

    Parameters
    ----------
    body
        The decoded error JSON; keys are matched case-insensitively, missing ones are tolerated.
    status
        The HTTP status of the answer.
    """
    members = folded(body)
    # Upstream has errors with an empty code: that differs from "no code given".
    code = None if members.get("code") is None else str(members["code"])
    cls = _BY_CODE.get(code or "") or _BY_STATUS.get(status) or BacalhauError
    details = members.get("details")
    return cls(
        str(members.get("message") or f"the server answered HTTP {status}"),
        hint=str(members.get("hint") or ""),
        code=code,
        component=str(members.get("component") or "Bacalhau"),
        details={str(k): str(v) for k, v in details.items()} if isinstance(details, Mapping) else None,
        status=status,
    )
