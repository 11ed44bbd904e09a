"""The repo directory: where everything of one user's node lies, and its secrets."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from bacalhau_jupyter.config.files import create_once, io_explained, write_atomic
from bacalhau_jupyter.config.filesystems import on_network
from bacalhau_jupyter.lib.ids import IdSource, uuid4
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.lib.times import ZERO_TIME
from bacalhau_jupyter.models.errors import ConfigurationError, IOFailure

COMPONENT = "Repo"

DEFAULT_DIR = "~/.bacalhau"
NODE_MARKER = "BACALHAU_JUPYTER_NODE"
"""Names the repo of our Jupyter server's node. ``BACALHAU_API_*`` beside it are that node's, not the user's."""

CLUSTER_VARIABLES = (
    "BACALHAU_API_HOST",
    "BACALHAU_API_PORT",
    "BACALHAU_API_TLS_USETLS",
    "BACALHAU_API_TLS_CAFILE",
    "BACALHAU_API_TLS_INSECURE",
    "BACALHAU_DIR",
)
"""What decides, in a process's environment, which cluster its clients talk to, and whom they believe."""

_REPO_VERSION = 5
_NOT_IN_NAMES = re.compile(r"[.*>\s\0]")


class Repo:
    """A repo directory. Nothing is created before `create`, nor before a secret is asked for.

    Parameters
    ----------
    path
        The directory; made absolute.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()

    @classmethod
    def locate(
        cls, data_dir: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None
    ) -> Repo:
        """Return a client's repo; creates nothing.

        In this order: ``data_dir``, ``BACALHAU_DIR``, the repo of the Jupyter server around, ``~/.bacalhau``.
        """
        environ = os.environ if environ is None else environ
        return cls(data_dir or environ.get("BACALHAU_DIR") or environ.get(NODE_MARKER) or DEFAULT_DIR)

    @classmethod
    def open(
        cls, data_dir: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None
    ) -> Repo:
        """Return the located repo with its directory created.

        Raises
        ------
        IOFailure
            The directory can't be created or written.
        """
        return cls.locate(data_dir, environ).create()

    def create(self) -> Repo:
        """Create the directory (0700) if it is missing."""
        with io_explained("can't create the data directory", self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise IOFailure(f"the data directory {self.path} is not writable")
        return self

    def directory(self, path: Path) -> Path:
        """Create a directory of this repo (0700) if it is missing, and return it."""
        with io_explained("can't create", path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def __repr__(self) -> str:
        return f"Repo({str(self.path)!r})"

    # ---- where things are

    @property
    def metadata_file(self) -> Path:
        return self.path / "system_metadata.yaml"

    @property
    def profiles_dir(self) -> Path:
        return self.path / "profiles"

    @property
    def api_key_file(self) -> Path:
        return self.path / "api.key"

    @property
    def signing_key_file(self) -> Path:
        return self.path / "signing.key"

    @property
    def cluster_token_file(self) -> Path:
        """What nodes present that join this node, where the configuration has no token."""
        return self.path / "cluster.token"

    @property
    def tls_dir(self) -> Path:
        """The node's own certificate authority, and what it issued."""
        return self.path / "tls"

    @property
    def node_lock(self) -> Path:
        """The file whose lock makes a process the node of this repo; never deleted."""
        return self.path / "node.lock"

    @property
    def node_record(self) -> Path:
        """What the process that holds the lock says of itself."""
        return self.path / "node.json"

    @property
    def node_log(self) -> Path:
        """What an embedded node prints."""
        return self.path / "node.log"

    @property
    def orchestrator_dir(self) -> Path:
        return self.path / "orchestrator"

    @property
    def orchestrator_db(self) -> Path:
        return self.orchestrator_dir / "state.sqlite"

    @property
    def compute_dir(self) -> Path:
        return self.path / "compute"

    @property
    def compute_db(self) -> Path:
        return self.compute_dir / "state.sqlite"

    @cached_property
    def on_network(self) -> bool:
        """Whether the directory lies on a network file system (locks and SQLite's WAL can't be relied on)."""
        return on_network(self.path)

    # ---- secrets and identity

    def api_key(self) -> str:
        """Return the API key, created at first use (0600)."""
        return self._secret(self.api_key_file, secrets.token_urlsafe(32))

    def cluster_token(self) -> str:
        """Return the token of the link between nodes, created at first use (0600)."""
        return self._secret(self.cluster_token_file, secrets.token_urlsafe(32))

    def signing_key(self) -> bytes:
        """Return the key that signs result URLs, created at first use (0600); 32 bytes."""
        return self._key(self.signing_key_file)

    def origin_key(self) -> bytes:
        """Return the key that hides the names of notebooks from clusters, created at first use (0600); 32 bytes."""
        return self._key(self.path / "origin.key")

    def instance_id(self, ids: IdSource = uuid4) -> str:
        """Return the anonymous ID of this repo (official field ``InstanceID``), created at first use."""
        return self._metadata("InstanceID", ids().replace("-", "") + ids().replace("-", ""))

    def node_name(self, provider: str = "puuid", ids: IdSource = uuid4) -> str:
        """Return the node's name, chosen once and kept (official field ``NodeName``).

        Parameters
        ----------
        provider
            ``puuid`` (``n-`` and a uuid), ``uuid`` or ``hostname``; it matters only for the first call.

        Raises
        ------
        ConfigurationError
            The provider is not available.
        """
        stored = self.metadata().get("NodeName")
        if stored:
            return stored
        if provider == "puuid":
            name = f"n-{ids()}"
        elif provider == "uuid":
            name = ids()
        elif provider == "hostname":
            # Names become parts of message subjects, where a dot separates.
            name = _NOT_IN_NAMES.sub("-", socket.gethostname()) or f"n-{ids()}"
        else:
            raise ConfigurationError(
                f"NameProvider {provider} is not available",
                hint="Use puuid, uuid or hostname.",
            )
        return self._metadata("NodeName", name)

    def metadata(self) -> dict[str, str]:
        """Return what ``system_metadata.yaml`` holds, as text."""
        if not self.metadata_file.exists():
            return {}
        with io_explained("can't read", self.metadata_file):
            lines = read_text(self.metadata_file).splitlines()
        pairs = (line.partition(":") for line in lines if ":" in line)
        return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}

    def _metadata(self, name: str, fallback: str) -> str:
        metadata = self.metadata()
        if metadata.get(name):
            return metadata[name]
        fields = {
            "RepoVersion": str(_REPO_VERSION),
            "InstanceID": '""',
            "LastUpdateCheck": ZERO_TIME,
            "NodeName": '""',
            **{key: value or '""' for key, value in metadata.items()},
            name: fallback,
        }
        self.create()
        write_atomic(self.metadata_file, "".join(f"{key}: {value}\n" for key, value in fields.items()))
        return fallback

    def _key(self, path: Path) -> bytes:
        text = self._secret(path, secrets.token_hex(32))
        try:
            return bytes.fromhex(text)
        except ValueError as error:
            raise IOFailure(f"{path} does not hold a key") from error

    def _secret(self, path: Path, fresh: str) -> str:
        self.create()
        text = create_once(path, fresh + "\n").strip()
        with io_explained("can't protect", path):
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
        if not text:
            raise IOFailure(f"{path} is empty", hint="Delete it; a new one is made.")
        return text
