"""Query parameters and bodies, bound the way Bacalhau's server binds them.

Names match case-insensitively, an empty value counts as absent, booleans are Go's words, integers are decimal.
A GET ignores its body, a PUT or POST its query.
"""

from __future__ import annotations

from typing import Any, TypeVar

from aiohttp import web

from bacalhau_jupyter.models.codec import convert, decode
from bacalhau_jupyter.models.errors import BadRequest

T = TypeVar("T")

BODY_LIMIT = 10 * 1024 * 1024
"""Bytes of a request body; a larger one is answered with 413."""

CONTAINER_LIMIT = 500_000
MEMBER_LIMIT = 100_000
"""Objects and lists, and what is in them, that a body may hold: far more than any job."""

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"", "0", "f", "F", "false", "FALSE", "False"})
_UINT_LIMIT = 2**63


class Query:
    """The query string of a request."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in request.query.items():
            if value:
                self._values.setdefault(name.lower(), []).append(value)

    def text(self, name: str) -> str:
        """Return the first value, or an empty text."""
        values = self._values.get(name)
        return values[0] if values else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """Return every value."""
        return tuple(self._values.get(name, ()))

    def flag(self, name: str) -> bool:
        """Return a boolean; absent is false. Raises BadRequest for other words than Go's."""
        value = self.text(name)
        if value in _FALSE:
            return False
        if value in _TRUE:
            return True
        raise _unparsable("ParseBool", value)

    def uint(self, name: str) -> int:
        """Return an unsigned integer; absent is 0. Raises BadRequest for anything else."""
        value = self.text(name)
        if not value:
            return 0
        if not (value.isascii() and value.isdigit()):
            raise _unparsable("ParseUint", value)
        number = int(value) if len(value) < 20 else _UINT_LIMIT
        if number >= _UINT_LIMIT:
            raise _unparsable("ParseUint", value, "value out of range")
        return number


async def body(request: web.BaseRequest, kind: type[T]) -> T:
    """Read and decode the JSON body; without one every member has its default.

    Raises
    ------
    BadRequest
        The content type is not JSON, the text is not JSON, or a member has the wrong type.
    aiohttp.web.HTTPRequestEntityTooLarge
        The body is over the limit.
    """
    if not request.body_exists:
        return kind()
    if not request.content_type.startswith("application/json"):
        raise BadRequest(
            "code=415, message=Unsupported Media Type", component="APIServer", code="InternalError"
        )
    length = request.content_length or 0
    if length > BODY_LIMIT:
        raise web.HTTPRequestEntityTooLarge(max_size=BODY_LIMIT, actual_size=length)
    try:
        raw = await request.read()
    except web.RequestPayloadError as error:
        raise BadRequest(
            "the body can't be read: it is not encoded as its headers say", component="APIServer"
        ) from error
    if not raw.strip():
        return kind()
    # Ten megabytes of text may stand for gigabytes of objects: looked at before they are made, and before their use.
    if raw.count(b"{") + raw.count(b"[") > CONTAINER_LIMIT:
        raise BadRequest(
            f"the body holds more than {CONTAINER_LIMIT} objects and lists", component="APIServer"
        )
    try:
        plain: Any = decode(raw, object)
        if _members(plain) > MEMBER_LIMIT:
            raise BadRequest(f"the body holds more than {MEMBER_LIMIT} members", component="APIServer")
        return convert(plain, kind)
    except RecursionError:
        raise BadRequest("the body is nested too deeply", component="APIServer") from None


def _members(plain: Any) -> int:
    """Count members of objects and items of lists, until there are too many."""
    count, pending = 0, [plain]
    while pending and count <= MEMBER_LIMIT:
        value = pending.pop()
        if isinstance(value, dict):
            count += len(value)
            pending += [item for item in value.values() if isinstance(item, (dict, list))]
        elif isinstance(value, list):
            count += len(value)
            pending += [item for item in value if isinstance(item, (dict, list))]
    return count


def _unparsable(function: str, value: str, why: str = "invalid syntax") -> BadRequest:
    problem = f'strconv.{function}: parsing "{value[:64]}": {why}'
    return BadRequest(
        f"code=400, message={problem}, internal={problem}", component="APIServer", code="InternalError"
    )
