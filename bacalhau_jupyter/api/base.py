"""What the API needs from the node it belongs to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.audit.log import AuditLog
from bacalhau_jupyter.auth.challenge import LoginMethods
from bacalhau_jupyter.auth.policies.order import PolicyOrder
from bacalhau_jupyter.lib.telemetry.base import SILENT, Telemetry
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.cluster import ClusterState, JoinedCluster, OpenCluster
from bacalhau_jupyter.models.records.environments import (
    KnownEnvironment,
    PythonDescription,
    RegisteredEnvironment,
)
from bacalhau_jupyter.models.records.hosts import (
    AddHost,
    CleanHost,
    HostCleaning,
    HostProgress,
    HostRecord,
    Hosts,
    HostTest,
    PushImage,
    RemoveHost,
)
from bacalhau_jupyter.models.records.joining import JoinCluster, JoinedClusters
from bacalhau_jupyter.models.records.kept.images import KnownImages
from bacalhau_jupyter.models.records.node import BuildVersionInfo, DiskUsage, NodeInfo
from bacalhau_jupyter.models.records.packages import KeepPackages, PackagesState
from bacalhau_jupyter.models.records.uploads import BeginUpload, UploadState
from bacalhau_jupyter.models.wire.api import ListDataResponse, ResultFile
from bacalhau_jupyter.orchestrator.service import Orchestrator


class AgentService(Protocol):
    """The node itself, as the API shows it."""

    @property
    def instance_id(self) -> str:
        """Changes with every start of the node."""
        ...

    def version(self) -> BuildVersionInfo:
        """The software, in the form official clients expect."""
        ...

    def node_info(self) -> NodeInfo:
        """The node, its features included."""
        ...

    def config(self) -> dict[str, Any]:
        """The effective configuration without its secrets and without members that say nothing."""
        ...

    def sign_on(self) -> dict[str, Any]:
        """What clients need to log in at the identity provider, by official name; empty without one."""
        ...

    def debug(self) -> dict[str, Any]:
        """Component name → whatever helps to find a fault."""
        ...

    def lease(self) -> AbstractContextManager[None]:
        """Keep the node alive for as long as the context is open."""
        ...


class ResultLinks(Protocol):
    """Signed URLs of results that lie on this node's disk."""

    def sign(self, reference: SpecConfig, base_url: str) -> SpecConfig:
        """Turn a stored reference into what the caller can download; foreign types come back unchanged.

        ``base_url`` is this node as the caller addressed it, such as ``http://127.0.0.1:1234``.
        """
        ...

    def file(self, reference: SpecConfig) -> Path | None:
        """Return the archive of a stored reference on this node's disk; None where it lies elsewhere, or nowhere."""
        ...

    def resolve(self, name: str, expires: str, signature: str) -> Path:
        """Return the archive that a signed URL means.

        Raises
        ------
        Forbidden
            The signature is wrong or has expired.
        NotFound
            The archive does not exist, or no longer exists.
        """
        ...

    def opened(self, archive: Path) -> MadeArchive | None:
        """Open an archive that is made while it is sent; None for one that is a file. Blocks.

        Raises
        ------
        BacalhauError
            It is gone, or damaged.
        """
        ...


class ResultReceiver(Protocol):
    """Takes the archives that nodes elsewhere send, by links that this node signed."""

    def admit(self, name: str, expires: str, signature: str) -> str:
        """Return the execution whose archive a signed URL takes.

        Raises
        ------
        Forbidden
            The signature is wrong or has expired.
        """
        ...

    async def take(self, execution_id: str, size: int, chunks: AsyncIterator[bytes]) -> None:
        """Keep an archive of so many bytes; raises BacalhauError where it can't be kept, or is not wanted."""
        ...


class MadeArchive(Protocol):
    """An archive that is made of what lies in a directory; close it."""

    @property
    def length(self) -> int:
        """Its bytes."""
        ...

    def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield a part."""
        ...

    async def close(self) -> None:
        """Close what it is made of."""
        ...


class ResultFiles(Protocol):
    """Looks into published results without fetching them whole."""

    async def list(self, reference: SpecConfig) -> Sequence[ResultFile]:
        """Return every entry of a result, as it is stored with its execution.

        Raises
        ------
        BacalhauError
            The result is gone, or this node may not read it.
        """
        ...

    async def size(self, reference: SpecConfig, path: str) -> int:
        """Return the bytes of one file; raises NotFound if it does not exist."""
        ...

    def read(self, reference: SpecConfig, path: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop`` (excluded) of one file."""
        ...


class DataBrowser(Protocol):
    """Shows what this node could read inputs from."""

    async def list(self, uri: str, limit: int, token: str) -> ListDataResponse:
        """Return what lies at a URI; an empty one stands for the places themselves.

        Raises
        ------
        BacalhauError
            The place does not exist, or this node may not read it.
        """
        ...


class Environments(Protocol):
    """The Python environments of this machine that jobs may see."""

    async def register(self, description: PythonDescription) -> RegisteredEnvironment:
        """Keep an environment.

        Raises
        ------
        BacalhauError
            It can't be shown to jobs, or not be kept.
        """
        ...

    async def registered(self) -> list[KnownEnvironment]:
        """Return every environment that is kept."""
        ...


class Packages(Protocol):
    """The sets of Python packages of this machine that jobs may see; methods raise BacalhauError."""

    async def find(self, request: str) -> PackagesState:
        """Return the set that a request was resolved to, else a draft."""
        ...

    async def keep(self, draft: str, order: KeepPackages) -> PackagesState:
        """Turn a draft into a set."""
        ...

    async def drop(self, draft: str) -> None:
        """Give a draft up."""
        ...


class Uploads(Protocol):
    """Content that clients send ahead of their jobs. ``owner`` is the caller's principal.

    Methods raise `NotFound` for an upload that is not there or another principal's, and `BadRequest`, `Conflict`,
    `ResourceExhausted` or `IOFailure` for what can't be taken.
    """

    async def begin(self, owner: str, order: BeginUpload, local: bool, base_url: str) -> UploadState:
        """Return where to upload to; ``local``: the caller may write to the disk itself."""
        ...

    async def state(self, owner: str, upload_id: str) -> UploadState:
        """Return how far an upload is."""
        ...

    async def append(
        self, owner: str, upload_id: str, start: int, chunks: AsyncIterator[bytes], base_url: str
    ) -> UploadState:
        """Take bytes from ``start`` on; the last ones complete the upload."""
        ...

    async def complete(self, owner: str, upload_id: str, base_url: str) -> UploadState:
        """Keep what lies on the disk."""
        ...

    async def drop(self, owner: str, upload_id: str) -> None:
        """Give an upload up."""
        ...

    async def clear(self) -> DiskUsage:
        """Remove what no job refers to; return what is gone."""
        ...

    async def resolve(self, sha256: str, name: str, expires: str, signature: str) -> Path:
        """Return the content that a signed URL means.

        Raises
        ------
        Forbidden
            The signature is wrong or has expired.
        NotFound
            The content is not there any more.
        """
        ...


class DiskCleaner(Protocol):
    """Removes what this node keeps for convenience."""

    async def clear_results(self, older_than_s: float) -> DiskUsage:
        """Remove published results of finished jobs, so many seconds old; return what is gone."""
        ...

    async def remove_results(self, execution_ids: Sequence[str]) -> DiskUsage:
        """Remove the results of these executions, whose job is deleted; return what is gone."""
        ...

    async def clear_packages(self) -> DiskUsage:
        """Remove Python packages that no job uses; return what is gone."""
        ...

    async def clear_cache(self) -> DiskUsage:
        """Remove inputs that are kept to be shared; return what is gone."""
        ...


class ImageService(Protocol):
    """The images that this node keeps without a Docker Engine. Errors are BacalhauErrors."""

    async def list(self) -> KnownImages:
        """Return all images."""
        ...

    async def load(self, path: str) -> KnownImages:
        """Take the images of a file or directory of this machine; return them."""
        ...

    async def remove(self, image: str) -> DiskUsage:
        """Remove an image that no job uses; return what is gone."""
        ...

    async def clean(self) -> DiskUsage:
        """Remove the images that no job uses; return what is gone."""
        ...


class ClusterService(Protocol):
    """The link between this node and others."""

    async def state(self) -> ClusterState:
        """Return how the link is."""
        ...

    async def open(self, order: OpenCluster) -> ClusterState:
        """Let nodes of other processes join, until `close`.

        Raises
        ------
        BacalhauError
            The link can't be opened like that; it is as it was.
        """
        ...

    async def close(self) -> ClusterState:
        """Let none join any more; those that joined are away then.

        Raises
        ------
        Conflict
            The configuration opens the link.
        """
        ...


class JoiningService(Protocol):
    """Further clusters to which this machine is offered."""

    def states(self) -> JoinedClusters:
        """Return how the way to each is."""
        ...

    async def join(self, order: JoinCluster) -> JoinedCluster:
        """Offer this machine to a cluster; raises BacalhauError where that can't be, and then nothing has changed."""
        ...

    async def leave(self, url: str) -> JoinedCluster:
        """Take it back; raises NotFound where it is not offered."""
        ...


class HostService(Protocol):
    """Docker hosts elsewhere that run jobs of this node. Errors are BacalhauErrors, and then nothing has changed."""

    async def list(self) -> Hosts:
        """Return all hosts; waits for none of them."""
        ...

    def show(self, name: str) -> HostRecord:
        """Return one host."""
        ...

    async def add(self, order: AddHost) -> HostRecord:
        """Let a host run jobs, now and after each restart."""
        ...

    async def try_out(self, order: AddHost) -> HostTest:
        """Try the way to a host that is not there yet, step by step."""
        ...

    async def test(self, name: str) -> HostTest:
        """Try the way to a host step by step."""
        ...

    async def pause(self, name: str, *, paused: bool) -> HostRecord:
        """Let a host take no new jobs, or take them again."""
        ...

    def retry(self, name: str) -> HostRecord:
        """Try now to connect, where that waits for its turn."""
        ...

    async def remove(self, name: str, order: RemoveHost) -> HostRecord:
        """Let a host run no more jobs."""
        ...

    async def push(self, name: str, order: PushImage) -> HostRecord:
        """Copy an image of this machine's Docker Engine there."""
        ...

    async def stop_push(self, name: str) -> HostRecord:
        """End what is being copied there; raises Conflict where that is nothing."""
        ...

    def progress(self, name: str) -> AsyncIterator[HostProgress]:
        """Tell how far it is what is copied there, now and at each change; does not end. Raises NotFound at once."""
        ...

    async def clean(self, name: str, order: CleanHost) -> HostCleaning:
        """Return what nodes have there, and remove what some left."""
        ...


@dataclass(frozen=True)
class ApiServices:
    """Everything the routes work on.

    Attributes
    ----------
    challenge
        None with users or single sign-on: such nodes exchange no login for a token.
    orchestrator
        None on a node that only computes: then ``/orchestrator`` does not exist.
    orchestrators
        Where such a node takes its jobs from: what callers are told who ask it for jobs.
    results
        None where no ``local`` publisher keeps results.
    receiver
        None on a node to which no others send results.
    result_files, data
        None where the node can't open results, or browse its data.
    cleaner
        None on a node that does not compute.
    environments
        None where no engine shows Python environments to its jobs, and for listeners whose callers are browsers.
    packages
        As ``environments``, for sets of Python packages.
    images
        None on a node that does not compute.
    uploads
        None on a node that takes none.
    cluster
        None where the node places no jobs, so that none can join it.
    joining
        None on a listener that is not the node's own API.
    telemetry
        Who is told of requests.
    audit
        Where it is written down who changed something; None on a node that only its owner can reach.
    policy
        None where capabilities decide what a request may do.
    """

    agent: AgentService
    access: Access
    challenge: LoginMethods | None
    orchestrator: Orchestrator | None = None
    orchestrators: Sequence[str] = ()
    results: ResultLinks | None = None
    receiver: ResultReceiver | None = None
    result_files: ResultFiles | None = None
    data: DataBrowser | None = None
    cleaner: DiskCleaner | None = None
    environments: Environments | None = None
    packages: Packages | None = None
    images: ImageService | None = None
    uploads: Uploads | None = None
    cluster: ClusterService | None = None
    joining: JoiningService | None = None
    hosts: HostService | None = None
    telemetry: Telemetry = SILENT
    audit: AuditLog | None = None
    policy: PolicyOrder | None = None
