"""``/orchestrator/uploads`` +: content that clients send ahead of the jobs that read it (`models.records.uploads`)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.auditing import DEED, Deed
from bacalhau_jupyter.api.http.binding import Query, body
from bacalhau_jupyter.api.http.callers import principal_of
from bacalhau_jupyter.api.http.receiving import IDLE_S, chunks_of
from bacalhau_jupyter.api.http.serving import prove
from bacalhau_jupyter.api.services.uploads import Uploads
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.records.uploads import CONTENT_PATH, PATH, BeginUpload

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class UploadRoutes:
    """Handlers of uploads.

    Parameters
    ----------
    uploads
        Keeps them.
    access
        Tells who calls, and whether the caller is our own user on this machine.
    idle_s
        Seconds for which a sender may send nothing.
    """

    def __init__(self, uploads: Uploads, access: Access, idle_s: float = IDLE_S) -> None:
        self._uploads = uploads
        self._access = access
        self._idle_s = idle_s

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler of each route."""
        return [
            web.post(PATH, self.begin),
            web.delete(PATH, self.clear),
            web.get(f"{PATH}/{{id}}", self.state, allow_head=False),
            web.put(f"{PATH}/{{id}}", self.append),
            web.post(f"{PATH}/{{id}}/complete", self.complete),
            web.delete(f"{PATH}/{{id}}", self.drop),
            web.get(f"{CONTENT_PATH}/{{sha256}}/{{name}}", self.download, allow_head=True),
        ]

    async def begin(self, request: web.Request) -> web.Response:
        """Begin an upload, or find one that broke off, or its content."""
        order = await body(request, BeginUpload)
        # A caller elsewhere would be shown a path that means nothing to it.
        local = order.local and await self._access.is_trusted(request.headers, request.transport)
        request[DEED] = Deed(name=order.name)
        state = await self._uploads.begin(principal_of(request).name, order, local, _base(request))
        request[DEED] = Deed(id=state.upload_id, name=order.name)
        return answer(request, state, escape=False)

    async def state(self, request: web.Request) -> web.Response:
        """Say how far an upload is."""
        state = await self._uploads.state(principal_of(request).name, request.match_info["id"])
        return answer(request, state, escape=False)

    async def append(self, request: web.Request) -> web.Response:
        """Take the next range (``Content-Range``); the last one completes the upload."""
        start, length = _range_of(request)
        chunks = self._chunks(request, length)
        state = await self._uploads.append(
            principal_of(request).name, request.match_info["id"], start, chunks, _base(request)
        )
        return answer(request, state, escape=False)

    async def complete(self, request: web.Request) -> web.Response:
        """Complete an upload that its sender wrote to the disk itself."""
        state = await self._uploads.complete(
            principal_of(request).name, request.match_info["id"], _base(request)
        )
        return answer(request, state, escape=False)

    async def drop(self, request: web.Request) -> web.Response:
        """Give an upload up."""
        await self._uploads.drop(principal_of(request).name, request.match_info["id"])
        return answer(request, {})

    async def clear(self, request: web.Request) -> web.Response:
        """Remove contents that no job refers to; answer with what is gone."""
        return answer(request, await self._uploads.clear())

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Stream a content: the signature in the URL is the credential, because downloaders send no header."""
        query, name = Query(request), request.match_info["name"]
        path = await self._uploads.resolve(
            request.match_info["sha256"], name, query.text("expires"), query.text("signature")
        )
        prove(request)
        return web.FileResponse(
            path,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "private, no-store",
            },
        )

    async def _chunks(self, request: web.Request, length: int | None) -> AsyncIterator[bytes]:
        """Yield the body as it comes; raises BadRequest where it has another length than its range."""
        count = 0
        async for chunk in chunks_of(
            request, hint="what came is kept: ask where to go on", idle_s=self._idle_s
        ):
            count += len(chunk)
            if length is not None and count > length:
                raise BadRequest(f"the body is longer than the {length} bytes of its Content-Range")
            yield chunk
        if length is not None and count != length:
            raise BadRequest(f"the body has {count} bytes, and its Content-Range {length}")


def _range_of(request: web.Request) -> tuple[int, int | None]:
    """Return the first byte of the body, and how many it is; without ``Content-Range`` it is the whole content.

    Raises
    ------
    BadRequest
        The header is not one, or disagrees with the body's length.
    """
    if request.content_type == "application/json" or "Content-Encoding" in request.headers:
        raise BadRequest(
            "an upload is sent as it is: Content-Type application/octet-stream, no encoding", status=415
        )
    text = request.headers.get("Content-Range", "")
    if not text:
        return 0, request.content_length
    match = _RANGE.fullmatch(text.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise BadRequest(f"the Content-Range {text[:64]!r} is not one of bytes A-B/SIZE")
    start, length = int(match[1]), int(match[2]) - int(match[1]) + 1
    if request.content_length not in (None, length):
        raise BadRequest(f"the body has {request.content_length} bytes, and its Content-Range {length}")
    if match[3] != "*" and int(match[3]) < int(match[2]) + 1:
        raise BadRequest(f"the Content-Range {text[:64]!r} ends beyond its size")
    return start, length


def _base(request: web.Request) -> str:
    # The caller reached us under this name, so it, and nodes beside it, will reach the content under it too.
    return f"{request.scheme}://{request.host}"
