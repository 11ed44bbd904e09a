"""An S3 server of our own: versitygw on a loopback port, with versions, checksums, and a proxy that cuts connections.

The binary is built once with ``go install`` and kept in the cache directory; objects lie in a temporary directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.services.common import (
    ServiceUnavailableError,
    cache_dir,
    end_process,
    one_process_at_a_time,
    run,
    wait_until,
)
from tests.services.fixtures import service_or_skip
from tests.services.ports import free_port

VERSION = "v1.8.0"
MODULE = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
BUILD_TIMEOUT_S = 900.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
TRUSTED: list[str] = []
"""The servers and proxies of this run, for the setting ``S3.TrustedEndpoints`` of plugins under test."""
ACCESS_KEY = "test-access"
SECRET_KEY = "test-secret"


def binary() -> Path:
    """Return the server's binary, built on first use.

    Raises
    ------
    ServiceUnavailableError
        Go is not installed, or the build failed.
    """
    path = cache_dir() / "versitygw"
    with one_process_at_a_time("versitygw"):
        if path.exists():
            return path
        go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
        if go is None:
            raise ServiceUnavailableError("versitygw can't be built: `go` is not installed")
        run([go, "install", MODULE], timeout_s=BUILD_TIMEOUT_S, env=os.environ | {"GOBIN": str(cache_dir())})
    return path


class S3Server:
    """A running server; `close` ends it by its pid.

    Parameters
    ----------
    directory
        Where objects, versions and users go; the caller removes it.
    """

    def __init__(self, directory: Path) -> None:
        program = binary()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        for name in ("objects", "versions", "users"):
            (directory / name).mkdir(parents=True)
        command = [str(program), "--port", f"127.0.0.1:{self.port}", "--quiet", "--keep-alive"]
        command += ["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--iam-dir", str(directory / "users")]
        command += ["posix", "--versioning-dir", str(directory / "versions"), str(directory / "objects")]
        log_path = directory / "versitygw.log"
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        started = wait_until(
            lambda: self._process.poll() is not None or self._answers(), timeout_s=START_TIMEOUT_S
        )
        if not started or self._process.poll() is not None:
            self.close()
            words = log_path.read_text(errors="replace").strip().splitlines()
            raise ServiceUnavailableError(f"versitygw does not start: {words[-1] if words else 'no log'}")
        self._program = program
        TRUSTED.append(self.url)
        self.objects = directory / "objects"
        self._count = 0

    @property
    def pid(self) -> int:
        """Process ID of the server."""
        return self._process.pid

    def environment(self, access: str = ACCESS_KEY, secret: str = SECRET_KEY) -> dict[str, str]:
        """Return the variables that make these credentials the only ones."""
        return {
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_DEFAULT_REGION": "us-east-1",
            # A server that a job names gets credentials only where it is listed.
            "BACALHAU_S3_TRUSTEDENDPOINTS": self.url,
        }

    def client(self, access: str = ACCESS_KEY, secret: str = SECRET_KEY) -> Any:
        """Return a boto3 client; close it."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            config=Config(s3={"addressing_style": "path"}),
        )

    def bucket(
        self, objects: dict[str, bytes] | None = None, *, versioned: bool = False, public: bool = False
    ) -> str:
        """Make a bucket with these objects and return its name."""
        self._count += 1
        name = f"bucket-{self._count}"
        client = self.client()
        try:
            client.create_bucket(Bucket=name)
            if versioned:
                client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
            if public:
                client.put_bucket_policy(
                    Bucket=name, Policy=_policy(name, "*", ["s3:GetObject", "s3:ListBucket"])
                )
            for key, data in (objects or {}).items():
                client.put_object(Bucket=name, Key=key, Body=data)
        finally:
            client.close()
        return name

    def fill(
        self,
        bucket: str,
        prefix: str,
        count: int,
        content: Callable[[int], bytes],
        *,
        etags: bool = True,
    ) -> dict[str, bytes]:
        """Put very many small objects into a bucket, past the API; return content by name below the prefix."""
        directory = self.objects / bucket / prefix
        directory.mkdir(parents=True)
        made = {}
        for number in range(count):
            data = made[f"{number:06d}"] = content(number)
            path = directory / f"{number:06d}"
            path.write_bytes(data)
            if etags:
                # What the server itself notes of an object.
                digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
                os.setxattr(path, "user.etag", digest.encode())
        return made

    def user(self, access: str, secret: str) -> None:
        """Add a user without any rights."""
        command = [str(self._program), "admin", "--access", ACCESS_KEY, "--secret", SECRET_KEY]
        command += ["--endpoint-url", self.url, "create-user", "--access", access, "--secret", secret]
        run([*command, "--role", "user"], timeout_s=START_TIMEOUT_S)

    def grant(self, bucket: str, access: str | list[str], *actions: str) -> None:
        """Give a user, or several, these rights on a bucket and its objects, and nobody any others."""
        client = self.client()
        try:
            client.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket, access, list(actions)))
        finally:
            client.close()

    def close(self) -> None:
        """End the process; bounded, and harmless when called twice."""
        end_process(self._process, timeout_s=STOP_TIMEOUT_S)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


_ON_BUCKETS = {"s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads"}


def _policy(bucket: str, principal: str | list[str], actions: list[str]) -> str:
    users = [principal] if isinstance(principal, str) else principal
    shared = {"Effect": "Allow", "Principal": "*" if principal == "*" else {"AWS": users}}
    statements = []
    for on_bucket, resource in ((True, bucket), (False, f"{bucket}/*")):
        chosen = [action for action in actions if (action in _ON_BUCKETS) is on_bucket]
        if chosen:
            statements.append(shared | {"Action": chosen, "Resource": f"arn:aws:s3:::{resource}"})
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class CuttingProxy:
    """Passes bytes to a server and back, and hangs up in the middle of the first answers that are long enough.

    Parameters
    ----------
    port
        Of the server on this machine.
    after
        Bytes of the answers on one connection after which it is cut.
    cuts
        Connections to cut.
    replace
        Bytes of a request's head to exchange, as proxies of some clouds do behind the signature's back.
    on_cut
        Called at each cut, before the other side notices.
    corrupt
        Bytes of answers to exchange for others, each pair once.
    """

    def __init__(
        self,
        port: int,
        *,
        after: int,
        cuts: int,
        replace: tuple[bytes, bytes] | None = None,
        on_cut: Callable[[], object] = lambda: None,
        corrupt: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.corrupt = list(corrupt)
        self._replace = replace
        self._on_cut = on_cut
        self._target = port
        self._after = after
        self._left = cuts
        self._lock = threading.Lock()
        self.cut = 0
        self.heads: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        TRUSTED.append(self.url)
        self._open: list[socket.socket] = []
        self._is_closed = False
        self._threads = [threading.Thread(target=self._accept, name="cutting-proxy")]
        self._threads[0].start()

    def close(self) -> None:
        """Close every connection and wait for the threads."""
        _hang_up(self._listener)
        with self._lock:
            self._is_closed = True
            for connection in self._open:
                _hang_up(connection)
        for thread in self._threads:
            thread.join(30)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target), timeout=30)
            except OSError:
                return
            with self._lock:
                # One that came as it was closed would be left, and waited for.
                if self._is_closed:
                    _hang_up(near)
                    _hang_up(far)
                    return
                self._open += [near, far]
            for pump in (self._requests, self._answers):
                thread = threading.Thread(target=pump, args=(near, far), name="cutting-proxy")
                self._threads.append(thread)
                thread.start()

    def _requests(self, near: socket.socket, far: socket.socket) -> None:
        try:
            while data := near.recv(1 << 16):
                if data.startswith((b"GET ", b"HEAD ", b"PUT ", b"POST ")):
                    head, end, body = data.partition(b"\r\n\r\n")
                    self.heads.append(head)
                    if self._replace is not None:
                        data = head.replace(*self._replace) + end + body
                far.sendall(data)
        except OSError:
            pass
        _hang_up(far)

    def _answers(self, near: socket.socket, far: socket.socket) -> None:
        passed = 0
        try:
            while data := far.recv(1 << 16):
                passed += len(data)
                with self._lock:
                    if self.corrupt and self.corrupt[0][0] in data:
                        data = data.replace(*self.corrupt.pop(0), 1)
                with self._lock:
                    cut = passed > self._after and self._left > 0
                    if cut:
                        self._left -= 1
                        self.cut += 1
                if cut:
                    self._on_cut()
                    near.sendall(data[: max(0, len(data) - (passed - self._after))])
                    break
                near.sendall(data)
        except OSError:
            pass
        _hang_up(near)
        _hang_up(far)


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def cutting_proxy(server: S3Server, *, after: int, cuts: int, **more: Any) -> Iterator[CuttingProxy]:
    """Run a `CuttingProxy` before a server."""
    proxy = CuttingProxy(server.port, after=after, cuts=cuts, **more)
    try:
        yield proxy
    finally:
        proxy.close()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server without buckets."""
    running = service_or_skip(lambda: S3Server(tmp_path_factory.mktemp("s3")))
    yield running
    running.close()


@pytest.fixture
def s3_credentials(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Let this process have the credentials of the S3 server's owner, and no others."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return s3_server
