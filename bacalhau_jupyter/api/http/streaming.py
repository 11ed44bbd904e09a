"""Content that is made while it is sent, with the conditions and ranges that `aiohttp.web.FileResponse` gives files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import ETag, web

STALL_TIMEOUT_S = 300.0
"""Seconds that a reader may take for one chunk before its download is given up."""

_ANY = "*"


@dataclass(frozen=True)
class Content:
    """Bytes whose number is known and that can be read from anywhere.

    Attributes
    ----------
    read
        Yields the bytes between two places.
    tag
        Strong ETag.
    modified_s
        Unix seconds.
    """

    length: int
    read: Callable[[int, int], AsyncIterator[bytes]]
    tag: str
    modified_s: float


async def stream(request: web.Request, content: Content, headers: Mapping[str, str]) -> web.StreamResponse:
    """Answer with a content, or the range of it that was asked for."""
    response = web.StreamResponse(headers=headers)
    response.etag = content.tag
    response.last_modified = content.modified_s
    if (status := _condition(request, content)) is not None:
        response.set_status(status)
        return await _send_nothing(request, response)
    response.headers["Accept-Ranges"] = "bytes"
    try:
        start, stop = _range(request, content)
    except ValueError:
        response.headers["Content-Range"] = f"bytes */{content.length}"
        response.set_status(416)
        return await _send_nothing(request, response)
    if (start, stop) != (0, content.length) or _is_partial(request, content):
        response.set_status(206)
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.length}"
    response.content_length = stop - start
    await response.prepare(request)
    if request.method != "HEAD":
        async for chunk in content.read(start, stop):
            async with asyncio.timeout(STALL_TIMEOUT_S):
                await response.write(chunk)
    await response.write_eof()
    return response


async def _send_nothing(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if response.status != 304:
        response.content_length = 0
    await response.prepare(request)
    await response.write_eof()
    return response


def _condition(request: web.Request, content: Content) -> int | None:
    """Return the status of an answer without content; None where the conditions of the request hold (RFC 9110, 13)."""
    match, none_match = request.if_match, request.if_none_match
    if match is not None and not _is_among(content.tag, match, weak=False):
        return 412
    unmodified, modified = request.if_unmodified_since, request.if_modified_since
    if match is None and unmodified is not None and content.modified_s > unmodified.timestamp():
        return 412
    if none_match is not None and _is_among(content.tag, none_match, weak=True):
        return 304
    if none_match is None and modified is not None and content.modified_s <= modified.timestamp():
        return 304
    return None


def _is_among(tag: str, tags: Sequence[ETag], *, weak: bool) -> bool:
    if len(tags) == 1 and tags[0].value == _ANY:
        return True
    return any(each.value == tag for each in tags if weak or not each.is_weak)


def _is_partial(request: web.Request, content: Content) -> bool:
    """Whether a range is asked for, and not only of another version."""
    since = request.if_range
    return "Range" in request.headers and (since is None or content.modified_s <= since.timestamp())


def _range(request: web.Request, content: Content) -> tuple[int, int]:
    """Return the first byte and the one after the last; raises ValueError for what is not in the content."""
    if not _is_partial(request, content):
        return 0, content.length
    asked = request.http_range
    start, stop = asked.start or 0, asked.stop
    if start < 0:
        start = max(0, content.length + start)
    stop = content.length if stop is None else min(stop, content.length)
    if start >= stop:
        raise ValueError("outside of the content")
    return start, stop
