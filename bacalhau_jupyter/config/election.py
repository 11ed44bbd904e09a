"""Which process is the node of a repo: one lock, held for life, and a record of the holder.

The lock file is opened once, by this module, and locked with ``flock``: a POSIX record lock would vanish as soon as
any other descriptor of the file is closed. The record is a separate file, so that readers see all or nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from bacalhau_jupyter.config.files import io_explained, write_atomic
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import boot_id, process_start
from bacalhau_jupyter.lib.nearby import bracketed
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import Conflict


@dataclass(frozen=True)
class NodeRecord:
    """The process that is the node of a repo.

    Attributes
    ----------
    start_time
        When the process started, in the kernel's ticks since boot; 0 where the system doesn't tell.
    port
        Port of the API; 0 while the node is still starting.
    instance_id
        Different for each start of a node.
    scheme
        ``http`` or ``https``.
    ca_file
        The authority that signed the node's certificate, where it is the node's own.
    certificate_file
        The certificate, where an authority of others signed it.
    """

    host: str
    boot_id: str
    pid: int
    start_time: int
    port: int
    api_host: str
    instance_id: str
    version: str
    scheme: str = "http"
    ca_file: str = ""
    certificate_file: str = ""

    @property
    def url(self) -> str:
        """Base URL of the API, as a client on this host dials it."""
        return base_url(self.api_host, self.port, self.scheme)

    def variables(self) -> dict[str, str]:
        """Return the variables with which any Bacalhau client of this user finds the node."""
        variables = {"BACALHAU_API_HOST": self.api_host, "BACALHAU_API_PORT": str(self.port)}
        if self.scheme == "https":
            variables["BACALHAU_API_TLS_USETLS"] = "true"
            variables["BACALHAU_API_TLS_CAFILE"] = self.ca_file or self.certificate_file
        return variables

    @property
    def is_here(self) -> bool:
        """Whether the process belongs to this host and this boot."""
        return self.host == socket.gethostname() and self.boot_id == boot_id()

    @property
    def is_alive(self) -> bool:
        """Whether the process still lives; False for one of another host."""
        if not self.is_here:
            return False
        now = process_start(self.pid)
        return now is not None and (not self.start_time or not now or now == self.start_time)


class NodeRunning(Conflict):
    """Another process is the node of this repo; ``record`` is what it says of itself, if it has yet."""

    def __init__(self, message: str, record: NodeRecord | None, hint: str = "") -> None:
        super().__init__(message, hint=hint, component="Election")
        self.record = record


class NodeLock:
    """The held lock. Made by `acquire`; released by `release`, the end of a ``with`` or of the process."""

    def __init__(self, repo: Repo, handle: int, record: NodeRecord) -> None:
        self._repo = repo
        self._handle: int | None = handle
        self.record = record

    @classmethod
    def acquire(cls, repo: Repo, version: str, instance_id: str = "") -> NodeLock:
        """Become the node of a repo. Take it before any database is opened.

        Parameters
        ----------
        version
            Our software version, for the record.
        instance_id
            Identifies this start; a fresh one is made when empty.

        Raises
        ------
        NodeRunning
            Another process holds the lock, here or on another host.
        IOFailure
            The lock file can't be opened.
        """
        repo.create()
        handle = _locked(repo)
        try:
            if handle is None:
                raise _taken(repo, _load(repo))
            stale = _load(repo)
            # A network file system may not carry locks between hosts: there, believe the record.
            if stale is not None and stale.host != socket.gethostname() and repo.on_network:
                raise _taken(repo, stale)
            record = NodeRecord(
                host=socket.gethostname(),
                boot_id=boot_id(),
                pid=os.getpid(),
                start_time=process_start(os.getpid()) or 0,
                port=0,
                api_host="",
                instance_id=instance_id or str(uuid.uuid4()),
                version=version,
            )
            _store(repo, record)
        except BaseException:
            if handle is not None:
                os.close(handle)
            raise
        return cls(repo, handle, record)

    def publish(
        self,
        api_host: str,
        port: int,
        *,
        scheme: str = "http",
        ca_file: str = "",
        certificate_file: str = "",
    ) -> NodeRecord:
        """Say where the API listens, and how it is encrypted (`NodeRecord`); only now do clients find the node."""
        self.record = replace(
            self.record,
            api_host=api_host,
            port=port,
            scheme=scheme,
            ca_file=ca_file,
            certificate_file=certificate_file,
        )
        _store(self._repo, self.record)
        return self.record

    def release(self) -> None:
        """Stop being the node: the record goes first, then the lock. Safe to call twice."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        try:
            with io_explained("can't remove", self._repo.node_record):
                self._repo.node_record.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def __enter__(self) -> NodeLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def read_record(repo: Repo) -> NodeRecord | None:
    """Return the record of the running node, or None when its process is gone (or it is another host's)."""
    record = _load(repo)
    return record if record is not None and record.is_alive else None


def base_url(host: str, port: int, scheme: str = "http") -> str:
    """Return the URL at which a client dials a listener; "all addresses" becomes loopback."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host.strip("[]"), host)
    return f"{scheme}://{bracketed(host)}:{port}"


def _locked(repo: Repo) -> int | None:
    """Open and lock the lock file; None when another process holds it."""
    while True:
        with io_explained("can't lock", repo.node_lock), contextlib.ExitStack() as undo:
            handle = os.open(repo.node_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            undo.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            # The file may have been removed in between: a lock on it would protect nothing.
            if _same_file(handle, repo.node_lock):
                undo.pop_all()
                return handle


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _taken(repo: Repo, record: NodeRecord | None) -> NodeRunning:
    if record is not None and record.host != socket.gethostname():
        return NodeRunning(
            f"the node of {repo.path} runs on another host, {record.host} (pid {record.pid})",
            record,
            f"Stop it there, or choose another data directory; if it no longer runs, delete {repo.node_record}.",
        )
    if record is None or not record.is_alive:
        return NodeRunning(f"another process is starting the node of {repo.path}", None)
    where = f", {record.url}" if record.port else ""
    return NodeRunning(f"a node already runs for {repo.path} (pid {record.pid}{where})", record)


def _load(repo: Repo) -> NodeRecord | None:
    try:
        plain: Any = json.loads(read_text(repo.node_record))
        # A newer version may have written more, an older one less.
        names = [field.name for field in fields(NodeRecord) if field.name in plain]
        record = NodeRecord(**{name: plain[name] for name in names})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    whole = all(isinstance(value, int) for value in (record.pid, record.start_time, record.port))
    return record if whole else None


def _store(repo: Repo, record: NodeRecord) -> None:
    write_atomic(repo.node_record, json.dumps(asdict(record), indent=1) + "\n")
