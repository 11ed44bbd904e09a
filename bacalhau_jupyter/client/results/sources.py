"""Where a job's results are stored: one source per execution, each with its reader."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.lib.nearby import is_loopback, is_near
from bacalhau_jupyter.models.errors import BacalhauError, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Progress, no_progress
from bacalhau_jupyter.models.records.published import (
    ARCHIVE_SUFFIXES,
    LOCAL_FILE,
    RESULTS_PATH,
    without_file,
)

if TYPE_CHECKING:
    from bacalhau_jupyter.config.config import Config
    from bacalhau_jupyter.config.endpoint import Endpoint
    from bacalhau_jupyter.transfer.archive.held import HeldArchive
    from bacalhau_jupyter.transfer.archive.http import Link
    from bacalhau_jupyter.transfer.archive.ranges import OpenFileRanges
    from bacalhau_jupyter.transfer.core.readers import ResultReader

NO_DOWNLOADER = (
    "No supported downloader found for the published results. "
    "You will have to download the results differently."
)
"""What the official CLI says of results that it can't fetch."""

_FLAT = str.maketrans(dict.fromkeys('/\\:*?"<>|', "_"))
_COMPONENT = "Results"


class NoDownloader(BacalhauError):
    """A result is of a kind, or in a place, that this client can't read."""

    default_code = "NoDownloader"


@dataclass
class ResultSource:
    """The published result of one execution.

    Attributes
    ----------
    label
        Short execution ID, or its number: the first part of the raw names.
    raw_name
        What the official CLI calls the download: host and path of its URL, flattened.
    """

    label: str
    raw_name: str
    reader: ResultReader

    async def rest(self) -> None:
        """Close unused connections."""
        from bacalhau_jupyter.transfer.archive.reader import ArchiveReader

        if isinstance(self.reader, ArchiveReader):
            await self.reader.rest()

    async def save(
        self, target: Path, path: str, progress: Progress = no_progress, *, may_link: bool = False
    ) -> None:
        """Write everything, or one file or subtree; see `ArchiveReader.save` for ``may_link``."""
        from bacalhau_jupyter.transfer.archive.reader import ArchiveReader

        if isinstance(self.reader, ArchiveReader):
            await self.reader.save(target, path, progress, may_link=may_link)
        else:
            await self.reader.save(target, path, progress)

    async def save_raw(self, directory: Path, progress: Progress = no_progress) -> None:
        """Write what was published, unchanged: the archive, or the tree where there is none."""
        from bacalhau_jupyter.transfer.archive.reader import ArchiveReader

        place = directory / self.raw_name
        if isinstance(self.reader, ArchiveReader):
            await self.reader.save_archive(place, progress)
        else:
            place.mkdir(exist_ok=True)
            await self.reader.save(place, progress=progress)


def open_sources(
    specs: Sequence[SpecConfig],
    executions: Sequence[Execution],
    endpoint: Endpoint,
    again: Callable[[], Awaitable[Sequence[SpecConfig]]],
) -> list[ResultSource]:
    """Return a source for each published result; nothing is fetched.

    Parameters
    ----------
    specs
        What the results route listed, in its order.
    executions
        The job's executions, for the labels.
    endpoint
        The cluster that listed them.
    again
        Lists them again: links are good for a while only.

    Raises
    ------
    NoDownloader
        One of them can't be read from here.
    """
    from bacalhau_jupyter.config.config import Config

    config = Config.from_sources(overrides=endpoint.overrides)
    sources: list[ResultSource] = []
    names: set[str] = set()
    for number, spec in enumerate(specs):
        name = _raw_name(spec)
        if name in names:
            # Two links to one file are one result, as in the official client.
            continue
        names.add(name)
        label = _label(spec, executions) or f"result-{number}"
        if any(source.label == label for source in sources):
            label = f"{label}-{number}"
        shown = f"the result of {label}"
        ids = [each.id for each in executions] if is_near(endpoint.url) else []
        reader = _reader(without_file(spec, ids), number, shown, endpoint, again, config)
        sources.append(ResultSource(label, name, reader))
    return sources


def _reader(
    spec: SpecConfig,
    number: int,
    shown: str,
    endpoint: Endpoint,
    again: Callable[[], Awaitable[Sequence[SpecConfig]]],
    config: Config,
) -> ResultReader:
    from bacalhau_jupyter.transfer.archive.http import HttpRanges
    from bacalhau_jupyter.transfer.archive.reader import ArchiveReader

    if any(spec.is_type(disabled) for disabled in config["ResultDownloaders.Disabled"]):
        raise _no_downloader(spec, f"ResultDownloaders.Disabled names {spec.type}")
    if (here := _file(spec)) is not None:
        return ArchiveReader(here, name=shown, sha256=_sha256(spec), close=here.close)
    if _url(spec):
        current = [spec]

        async def link() -> Link:
            # The first link was listed just now; a second request follows a refusal or a lost server.
            used = current.pop() if current else _same(spec, number, await again())
            return link_to(_url(used), endpoint)

        http = HttpRanges(link)
        return ArchiveReader(http, name=shown, sha256=_sha256(spec), close=http.close, rest=http.rest)
    if spec.is_type("s3"):
        from bacalhau_jupyter.transfer.s3.reading.results import S3Ranges, open_s3_result
        from bacalhau_jupyter.transfer.s3.requests.access import S3Access

        # The reference comes from a node, and names the server that would get this person's credentials.
        access = S3Access.of(config.get, is_node=False)
        if str(spec.param("Key", "")).endswith(ARCHIVE_SUFFIXES):
            ranges = S3Ranges(spec, access)
            return ArchiveReader(ranges, name=shown, sha256=_sha256(spec), close=ranges.close)
        return open_s3_result(spec, access)
    if spec.is_type("ipfs"):
        return _ipfs_reader(spec, config)
    raise _no_downloader(spec)


def _ipfs_reader(spec: SpecConfig, config: Config) -> ResultReader:
    prefix = "ResultDownloaders.Types.IPFS"
    endpoint = str(config[f"{prefix}.Endpoint"] or "")
    addresses = config[f"{prefix}.SwarmAddresses"] or []
    if not endpoint and not addresses:
        raise _no_downloader(spec, f"set {prefix}.Endpoint to the RPC API of an IPFS node")
    from bacalhau_jupyter.transfer.ipfs.results import open_ipfs_result
    from bacalhau_jupyter.transfer.ipfs.swarm import IpfsSwarm

    swarm = IpfsSwarm.of(addresses, str(config[f"{prefix}.SwarmKey"] or ""))
    return open_ipfs_result(spec, endpoint, swarm=swarm)


def _is_of_same_node(url: str, base: SplitResult) -> bool:
    """Whether a result lies at a further port of the connected node, which shows the same certificate there."""
    parts = urlsplit(url)
    hosts = [each.hostname or "" for each in (parts, base)]
    is_same_host = hosts[0] == hosts[1] or all(map(is_loopback, hosts))
    return (
        parts.scheme == base.scheme == "https" and is_same_host and parts.path.startswith(f"{RESULTS_PATH}/")
    )


def link_to(url: str, endpoint: Endpoint) -> Link:
    """Return how to ask for a result's URL: a path of a gateway becomes a URL of that gateway, with its credential.

    A result's link is signed. Only a gateway also wants a credential, and only the cluster we are
    connected to ever sees ours; not even our own node, whose port may belong to another program by now.
    """
    from bacalhau_jupyter.transfer.archive.http import Link

    base = urlsplit(endpoint.url)
    if url.startswith("/") and not url.startswith("//"):
        url = f"{base.scheme}://{base.netloc}{url}"
    if not url.startswith(endpoint.url.rstrip("/") + "/"):
        return Link(url, ssl=endpoint.ssl()) if _is_of_same_node(url, base) else Link(url)
    return Link(url, {} if endpoint.embedded else endpoint.headers(), endpoint.ssl())


def absolute(spec: SpecConfig, endpoint: Endpoint) -> SpecConfig:
    """Return a listed result whose URL says its server: a gateway's are paths. What signs it is in path and query."""
    url = spec.params.get("URL")
    if not isinstance(url, str) or not url.startswith("/") or url.startswith("//"):
        return spec
    base = urlsplit(endpoint.url)
    return SpecConfig(type=spec.type, params={**spec.params, "URL": f"{base.scheme}://{base.netloc}{url}"})


def _same(spec: SpecConfig, number: int, specs: Sequence[SpecConfig]) -> SpecConfig:
    """Find a result in a new listing: under its name, else (the node has another address) in its place."""
    name = _raw_name(spec)
    matching_spec = next((item for item in specs if _raw_name(item) == name), None)
    if matching_spec is None and number < len(specs) and _url(specs[number]):
        matching_spec = specs[number]
    if matching_spec is None:
        raise NotFound("the result is no longer listed", component=_COMPONENT)
    return matching_spec


def _raw_name(spec: SpecConfig) -> str:
    params = folded(spec.params)
    url = _url(spec)
    if url:
        parts = urlsplit(url)
        name = parts.netloc.rpartition("@")[2] + unquote(parts.path)
    else:
        name = str(params.get("cid") or params.get("key") or json.dumps(spec.params, sort_keys=True))
    name = name.translate(_FLAT).strip(".") or "result"
    return name if len(name.encode()) <= 200 else name[-100:]


def _label(spec: SpecConfig, executions: Sequence[Execution]) -> str:
    """Return the short ID of the execution that published a result, if its place shows it."""
    place = json.dumps(spec.params, default=str)
    for execution in executions:
        published = folded(execution.published_result.params)
        same = [
            published.get(key) and published.get(key) == folded(spec.params).get(key)
            for key in ("cid", "key")
        ]
        if execution.id and (execution.id in place or any(same)):
            return short_id(execution.id)
    return ""


def _url(spec: SpecConfig) -> str:
    params = folded(spec.params)
    return str(params.get("url") or params.get("presignedurl") or "")


def _file(spec: SpecConfig) -> OpenFileRanges | HeldArchive | None:
    """Return the archive where it lies, if the node told us, and it is ours to read; else its link works, too."""
    from bacalhau_jupyter.transfer.archive.held import open_archive

    path = spec.param(LOCAL_FILE)
    if not isinstance(path, str) or not path:
        return None
    try:
        return open_archive(Path(path))
    except (OSError, BacalhauError):
        return None


def _sha256(spec: SpecConfig) -> str:
    """Return the base64 checksum that was published with an archive; empty without one."""
    params = folded(spec.params)
    source = params.get("sourcespec")
    if isinstance(source, dict):
        params = folded(source)
    checksum = params.get("checksumsha256")
    return checksum if isinstance(checksum, str) else ""


def _no_downloader(spec: SpecConfig, hint: str = "") -> NoDownloader:
    return NoDownloader(
        f"results of type {spec.type!r} can't be downloaded from here",
        hint=hint or "read them where they were published: " + json.dumps(spec.params, default=str),
        component=_COMPONENT,
    )
