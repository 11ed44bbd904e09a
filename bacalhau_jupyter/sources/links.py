"""What the sources that read URLs share: their settings, the links that this node signed, and where URLs may lead."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.fetch_limits import FetchLimits
from bacalhau_jupyter.plugins.source import Availability, FetchRequest
from bacalhau_jupyter.transfer.core.addresses import parse_http_url
from bacalhau_jupyter.transfer.core.reach import KEY as ADDRESSES
from bacalhau_jupyter.transfer.core.reach import Reach
from bacalhau_jupyter.transfer.http.download import DownloadResult, content_length, download
from bacalhau_jupyter.transfer.http.requests import content_tag

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions, StoredFile

# A bid waits for it; a slow server's answer is not worth more.
_HEAD_TIMEOUT_S = 10.0


class Links:
    """Reads what URLs lead to.

    Parameters
    ----------
    options
        Settings, and the look-up of links that this node signed.
    component
        The source, as errors name it.
    """

    def __init__(self, options: PluginOptions, component: str) -> None:
        self._settings = options.settings
        self._stored = options.stored
        self._component = component

    def url_of(self, input_source: InputSource) -> str:
        """Return the URL of an input.

        Raises
        ------
        BadRequest
            It is not one of http or https.
        """
        return parse_http_url(input_source.source.param("URL"), self._component)

    def availability(self) -> Availability:
        """Say whether the settings can be read."""
        try:
            self._limits()
            self._reach()
        except ConfigurationError as error:
            return Availability(available=False, problem=error.message)
        return Availability(available=True)

    async def stored(self, url: str) -> StoredFile | None:
        """Return the file of this node that a link leads to; None for any other URL."""
        return await asyncio.to_thread(self._stored, url)

    async def check(self, url: str) -> None:
        """Look whether a URL may be read.

        Raises
        ------
        BacalhauError
            It leads where URLs of jobs may not, or the allow-list is broken.
        """
        if await self.stored(url) is None:
            self._reach().check_link(url, self._component)

    async def length(self, url: str) -> int:
        """Return the bytes that the server names, 0 where it names none."""
        return await content_length(url, timeout_s=self._head_timeout_s(), reach=self._reach()) or 0

    async def tag(self, url: str) -> str:
        """Return the server's ETag; empty without one."""
        return await content_tag(url, timeout_s=self._head_timeout_s(), reach=self._reach())

    async def download(self, url: str, part: Path, request: FetchRequest) -> DownloadResult:
        """Write what the server sends into ``part``."""
        limits = self._limits()
        return await download(
            url,
            part,
            max_retries=limits.max_retries,
            read_timeout_s=limits.read_timeout_s,
            progress=lambda reading: request.progress(_one_file(reading)),
            component=self._component,
            reach=self._reach(),
        )

    def _head_timeout_s(self) -> float:
        return min(_HEAD_TIMEOUT_S, self._limits().read_timeout_s)

    def _limits(self) -> FetchLimits:
        return FetchLimits.of(self._settings, self._component)

    def _reach(self) -> Reach:
        """Return what URLs may lead to.

        Raises
        ------
        ConfigurationError
            The allow-list is broken.
        """
        return Reach.of(self._settings(ADDRESSES))


def _one_file(reading: Reading) -> Reading:
    return replace(reading, files=0, files_total=1)
