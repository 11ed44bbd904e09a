"""Query parameters and bodies, bound the way Bacalhau's server binds them.

Names match case-insensitively, an empty value counts as absent, booleans are Go's words, integers are decimal.
A GET ignores its body, a PUT or POST its query.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.codec import convert, decode
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.spelling import misleading_names

T = TypeVar("T")

BODY_LIMIT = 10 * 1024 * 1024
"""Bytes of an admitted caller's body, as officially."""

CONTAINER_LIMIT = 50_000
MEMBER_LIMIT = 100_000
DEPTH_LIMIT = 100
"""Objects and lists, what is in them, and how deeply they may be nested: far more than any job."""


@dataclass(frozen=True)
class BodyLimit:
    """What a body may be.

    Attributes
    ----------
    size
        Bytes; a larger one is answered with 413.
    seconds
        Time that its sender may take; a slower one is answered with 408.
    """

    size: int
    seconds: float


ORDINARY_BODY = BodyLimit(BODY_LIMIT, 25.0)
OPEN_BODY = BodyLimit(64 * 1024, 5.0)
"""For routes that anybody may call."""

HEADER_LIMIT = 256
"""Characters of a header that is stored or repeated."""

JUDGED = web.RequestKey("judged", bool)
"""Whether a policy has judged a request, by the names in it: it knows one spelling of each, and we know many."""

_UINT_LIMIT = 2**63
_HELD = web.RequestKey("held_body", bytes)


class Query:
    """The query string of a request.

    Raises
    ------
    BadRequest
        A policy has judged the request, and could have read another value than we do.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        self._values: dict[str, list[str]] = {}
        is_judged = request.get(JUDGED, False)
        for name, value in request.query.items():
            if is_judged and (name != name.lower() or (not value and len(request.query.getall(name)) > 1)):
                raise _misleading("query", [name])
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
        """Return a boolean; absent is false. Raises BadRequest for other words than true and false."""
        value = self.text(name)
        flag = parse_truth(value or False)
        if flag is None:
            raise _unparsable("ParseBool", value)
        return flag

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


def header(request: web.BaseRequest, name: str) -> str:
    """Return a header's value as text that any JSON can carry: its bytes may not be UTF-8; cut after 256 characters."""
    value = request.headers.get(name, "")[:HEADER_LIMIT]
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


async def body(request: web.BaseRequest, kind: type[T], limit: BodyLimit = ORDINARY_BODY) -> T:
    """Read and decode the JSON body; without one every member has its default.

    Parameters
    ----------
    request
        The request; who makes it was judged before.
    kind
        A model.
    limit
        How large and slow the body may be.

    Raises
    ------
    BadRequest
        The content type is not JSON, the text is not JSON, or a member has the wrong type; with status 408, the
        body did not come in time.
    aiohttp.web.HTTPRequestEntityTooLarge
        The body is over the limit.
    """
    return bound(request, await plain_body(request, limit), kind)


def bound(request: web.BaseRequest, plain: object, kind: type[T]) -> T:
    """Decode a body that was read before.

    Raises
    ------
    BadRequest
        A member has the wrong type; or a policy has judged the request, and could have read another value than we do.
    """
    if request.get(JUDGED, False) and (names := misleading_names(plain, kind)):
        raise _misleading("body", names)
    return convert(plain, kind)


async def plain_body(request: web.BaseRequest, limit: BodyLimit = ORDINARY_BODY) -> Any:
    """Read the JSON body as plain data; without one, an empty object.

    Raises
    ------
    BadRequest, aiohttp.web.HTTPRequestEntityTooLarge
        As `body`, but for the types of members.
    """
    if not request.body_exists:
        return {}
    if not request.content_type.startswith("application/json"):
        raise BadRequest("code=415, message=Unsupported Media Type", code="InternalError")
    length = request.content_length or 0
    if length > limit.size:
        raise web.HTTPRequestEntityTooLarge(max_size=limit.size, actual_size=length)
    raw = await _read(request, limit)
    if not raw.strip():
        return {}
    _check_count(raw)
    try:
        plain: Any = decode(raw, object)
    except RecursionError:
        raise _too_deep() from None
    _check_shape(plain)
    return plain


async def held_body(request: web.BaseRequest, limit: BodyLimit) -> bytes:
    """Read the body and keep it, so that `body` can read it again.

    Raises
    ------
    BadRequest, aiohttp.web.HTTPRequestEntityTooLarge
        As `body`.
    """
    length = request.content_length or 0
    if length > limit.size:
        raise web.HTTPRequestEntityTooLarge(max_size=limit.size, actual_size=length)
    raw = request[_HELD] = await _read(request, limit)
    return raw


async def _read(request: web.BaseRequest, limit: BodyLimit) -> bytes:
    held: bytes | None = request.get(_HELD)
    if held is not None:
        if len(held) > limit.size:
            raise web.HTTPRequestEntityTooLarge(max_size=limit.size, actual_size=len(held))
        return held
    raw = bytearray()
    try:
        async with asyncio.timeout(limit.seconds):
            async for chunk in request.content.iter_any():
                raw += chunk
                if len(raw) > limit.size:
                    raise web.HTTPRequestEntityTooLarge(max_size=limit.size, actual_size=len(raw))
    except TimeoutError:
        raise BadRequest(f"the body did not come within {limit.seconds:.0f} s", status=408) from None
    except web.RequestPayloadError as error:
        raise BadRequest("the body can't be read: it is not encoded as its headers say") from error
    return bytes(raw)


def _check_count(raw: bytes) -> None:
    """Refuse a text that stands for very many objects, before they are made: ten megabytes may mean gigabytes."""
    count = raw.count(b"{") + raw.count(b"[")
    if count > CONTAINER_LIMIT:
        # Texts may hold brackets, too: scripts do. What is left are quotes that begin and end a text, in turns.
        structure = b"".join(raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
        count = structure.count(b"{") + structure.count(b"[")
    if count > CONTAINER_LIMIT:
        raise BadRequest(f"the body holds more than {CONTAINER_LIMIT} objects and lists")


def _check_shape(plain: Any) -> None:
    """Refuse too many members, and too deep a nesting, before anything walks through them."""
    count, depth, level = 0, 0, [plain]
    while level:
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.values()
            elif isinstance(value, list):
                below += value
        count, depth = count + len(below), depth + 1
        if count > MEMBER_LIMIT:
            raise BadRequest(f"the body holds more than {MEMBER_LIMIT} members")
        if depth > DEPTH_LIMIT:
            raise _too_deep()
        level = below


def _misleading(place: str, names: list[str]) -> BadRequest:
    return BadRequest(
        f"the {place} has names that a policy may read otherwise: {', '.join(names)[:HEADER_LIMIT]}",
        hint="Where a policy judges requests, each name stands once, in its official spelling.",
    )


def _too_deep() -> BadRequest:
    return BadRequest("the body is nested too deeply")


def _unparsable(function: str, value: str, why: str = "invalid syntax") -> BadRequest:
    problem = f'strconv.{function}: parsing "{value[:64]}": {why}'
    return BadRequest(f"code=400, message={problem}, internal={problem}", code="InternalError")
