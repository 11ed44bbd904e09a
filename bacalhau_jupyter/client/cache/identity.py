"""What makes two jobs the same: their specs, and the content of their inputs.

A job's name, metadata and group don't count. Of what a spec only points at, the content has to be known without reading
it: an input that says nothing of its content (a web page, a path of another machine) makes a job nobody's equal.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sysconfig
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bacalhau_jupyter.client.cache.own_links import OwnLink, of_nobody
from bacalhau_jupyter.client.jobs.interpreters import own_python
from bacalhau_jupyter.client.jobs.many import GROUP
from bacalhau_jupyter.lib.trees import walk
from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.records.packages import SOURCE as PACKAGES
from bacalhau_jupyter.models.records.uploads import ARCHIVE
from bacalhau_jupyter.transfer.archive.data_urls import decode_data_url

MOST_FILES = 10_000
"""Files of this machine that are looked at."""

Plain = Any
"""What JSON can hold."""


class Unidentified(BacalhauError):
    """Nothing says whether an input is the same as before."""

    default_code = "Unidentified"


@dataclass
class Surroundings:
    """What the identity of a job depends on besides its spec.

    Attributes
    ----------
    shares_machine
        Whether the job's node reads the files of this machine.
    cluster
        Address of the cluster.
    own_link
        Knows the links that lead to the cluster.
    """

    shares_machine: bool
    cluster: str
    own_link: OwnLink = of_nobody

    def identity(self, job: Job) -> Plain:
        """Return what is equal for equal jobs only. Blocks: buckets are listed, directories walked.

        Raises
        ------
        Unidentified
            An input says nothing of its content.
        """
        plain = to_plain(job)
        for name in ("ID", "Name", "Meta", "State", "Version", "Revision", "CreateTime", "ModifyTime"):
            plain.pop(name, None)
        plain["Labels"] = {name: text for name, text in job.labels.items() if name != GROUP}
        for task, described in zip(job.tasks, plain["Tasks"], strict=True):
            described["InputSources"] = [self._input(item) for item in task.input_sources]
            if task.engine.is_type("process"):
                described["Packages"] = installed()
        return [self.cluster, plain]

    def _input(self, item: InputSource) -> Plain:
        source = item.source
        what = item.alias or item.target
        if source.is_type("inline"):
            content = content_of_inline(str(source.param("URL", "")))
        elif source.is_type("s3"):
            content = [source.params, _objects(source)]
        elif source.is_type("ipfs") or source.is_type(PACKAGES):
            # Both name their content by a hash.
            content = source.params
        elif source.is_type("urlDownload") or source.is_type(ARCHIVE):
            content = self._link(source, what)
        elif source.is_type("localDirectory"):
            content = self._local(source, what)
        else:
            content = _pinned(source, what)
        return [source.type.lower(), item.target, content]

    def _local(self, source: SpecConfig, what: str) -> Plain:
        if not self.shares_machine:
            raise Unidentified(f"the input {what} is a path of another machine")
        if parse_truth(str(source.param("ReadWrite", "false"))):
            raise Unidentified(f"the job may write to its input {what}")
        path = str(source.param("SourcePath", ""))
        return [path, files_below(Path(path).resolve())]

    def _link(self, source: SpecConfig, what: str) -> Plain:
        """Return the content behind a link of the cluster, whose signature changes each time."""
        link = self.own_link(source.param("URL"))
        if link is None:
            raise Unidentified(
                f"nothing says whether the input {what} is the same as before",
                hint="inputs of this machine, s3://, ipfs:// and job: inputs can be told apart",
            )
        rest = {name: value for name, value in source.params.items() if name.lower() != "url"}
        # Without `File` the job sees the file by the link's name.
        named = source.is_type("urlDownload") and not parse_truth(str(source.param("File", "false")))
        return [link.sha256 or link.execution_id, link.path.rpartition("/")[2] if named else "", rest]


def content_of_inline(url: str) -> Plain:
    """Return a hash of what an inline input holds; how well it was packed, and when, doesn't count."""
    data = decode_data_url(url).data
    with suppress(OSError, EOFError, zlib.error):
        data = gzip.decompress(data)
    return hashlib.sha256(data).hexdigest()


def _pinned(source: SpecConfig, what: str) -> Plain:
    raise Unidentified(f"nothing says whether the input {what} ({source.type}) is the same as before")


def _objects(source: SpecConfig) -> Sequence[Plain]:
    """Return keys, sizes, ETags and versions of the objects that an input means, as this person sees them."""
    from bacalhau_jupyter.config.config import Config
    from bacalhau_jupyter.transfer.s3.reading.listing import find_objects
    from bacalhau_jupyter.transfer.s3.requests.access import S3Access
    from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, parse_location

    access = S3Access.of(Config.from_sources().get, is_node=False)
    location = parse_location(source.params, "Cache")
    try:
        objects = find_objects(S3Clients("Cache", access=access), location)
    except BacalhauError as error:
        raise Unidentified(
            f"s3://{location.bucket}/{location.key} can't be listed from here: {error.message}",
            hint=error.hint,
        ) from error
    if any(not item.etag for item in objects):
        raise Unidentified(f"the server of s3://{location.bucket} sends no ETags")
    return [[item.key, item.size, item.etag, item.version_id] for item in objects]


def files_below(path: Path) -> Plain:
    """Return paths, sizes and times of the files at or below a path; what only its content shows is not seen.

    Raises
    ------
    Unidentified
        It can't be read, or there are too many.
    """
    try:
        if not path.is_dir():
            return [_facts(path.stat())]
        files: list[Plain] = []
        for entry in walk(path):
            if len(files) >= MOST_FILES:
                raise Unidentified(f"{path} holds more than {MOST_FILES:,} files")
            files.append([entry.path, *_facts((path / entry.path).lstat())])
        return sorted(files)
    except OSError as error:
        raise Unidentified(f"{path} can't be read: {error.strerror}") from error


def installed() -> Mapping[str, Plain]:
    """Return when packages were last installed into or removed from this Python's environment."""
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *own_python()["Paths"]}
    times: dict[str, Plain] = {}
    for place in sorted(places):
        try:
            times[place] = Path(place).stat().st_mtime_ns
        except OSError:
            times[place] = None
    return times


def _facts(info: os.stat_result) -> list[int]:
    return [info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]
