"""``POST <base_url>bacalhau/notebooks``: run a notebook of this Jupyter server as a job."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_core.utils import ensure_async
from tornado import web

from bacalhau_jupyter.client.inputs.modules import Snapshot
from bacalhau_jupyter.client.inputs.uri import parse_reference
from bacalhau_jupyter.client.jobs.options import JobOptions
from bacalhau_jupyter.client.notebooks import build, files
from bacalhau_jupyter.client.packages.requirements import Required, parse, read_bytes
from bacalhau_jupyter.models.codec import convert, encode
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Forbidden, NotFound
from bacalhau_jupyter.server.handlers.base import GatewayAPIHandler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bacalhau_jupyter.client.connection.api import AsyncAPI
    from bacalhau_jupyter.models.jobs.job import Job
    from bacalhau_jupyter.models.jobs.spec import InputSource
    from bacalhau_jupyter.server.jobs.collector import NotebookCollector

log = logging.getLogger(__name__)

T = TypeVar("T")
_TIMEOUT_S = 60.0
_PACKAGES_TIMEOUT_S = 600.0
"""Seconds for an order with packages, which are downloaded first."""


class Resources(msgspec.Struct, frozen=True):
    """What the job asks for, as Bacalhau writes it."""

    cpu: str = ""
    memory: str = ""
    disk: str = ""
    gpu: str = ""


class Order(msgspec.Struct):
    """The request's body."""

    path: str = ""
    parameters: dict[str, Any] = {}
    image: str = ""
    kernel: str = ""
    resources: Resources = Resources()
    inputs: list[Any] = []
    env: dict[str, str] = {}
    network: str = ""
    timeout: int = 0
    name: str = ""
    pip: list[str] = []
    requirements: str = ""


class NotebooksHandler(GatewayAPIHandler):
    """Submits a notebook; its executed copy is written beside it when the job is over."""

    SUPPORTED_METHODS = ("POST", "OPTIONS")

    @web.authenticated
    async def post(self) -> None:
        """Answer ``{"job_id", "path", "copy"}``; the copy's name is the one it gets if that is still free then."""
        try:
            await self.authorize("execute")
            await self._authorize_contents()
            order = read_order(self.request.body)
            has_packages = bool(order.pip or order.requirements)
            async with asyncio.timeout(_PACKAGES_TIMEOUT_S if has_packages else _TIMEOUT_S):
                job_id = await self._submit(order)
        except BacalhauError as error:
            self.send_envelope(error)
            return
        except TimeoutError:
            self.send_envelope(BacalhauError("the cluster did not take the notebook in time", status=504))
            return
        folder = PurePosixPath(order.path).parent
        copy = str(folder / files.copy_name(order.path))
        self.finish(encode({"job_id": job_id, "path": order.path, "copy": copy}))

    async def _authorize_contents(self) -> None:
        """Ask for the rights on the notebook and on its copy, too: this is a way to read and to write files."""
        for action in ("read", "write"):
            allowed = self.authorizer.is_authorized(self, self.current_user, action, "contents")
            if not await ensure_async(allowed):
                raise Forbidden(f"this Jupyter user may not {action} files")

    async def _submit(self, order: Order) -> str:
        collector = self.gateway.notebooks
        if collector is None:
            raise BacalhauError("the extension is stopping", status=503)
        notebook = await self._read(order.path)
        pip = [*parse(order.pip), *await self._requirements(order)]
        argv = None if order.image else await self._kernel(notebook, order.kernel)
        root = getattr(self.contents_manager, "root_dir", "")
        folder = Path(root, order.path).parent if isinstance(root, str) and root else None
        model = await self._job(collector, order, notebook, argv, folder, pip)
        answer = await ask(collector, lambda _: collector.client.asubmit(model))
        await collector.expect(answer.job_id, order.path)
        return answer.job_id

    async def _read(self, path: str) -> dict[str, Any]:
        try:
            manager: Any = self.contents_manager
            model = await ensure_async(manager.get(path, type="notebook", content=True))
        except web.HTTPError as error:
            if error.status_code == 404:
                raise NotFound(f"there is no notebook {path}") from error
            why = error.log_message or error.reason or "it is not a notebook"
            raise BadRequest(f"{path} can't be read as a notebook: {why}"[:500]) from error
        # Plain data out of whatever the contents manager made of it.
        return files.check_notebook(json.loads(json.dumps(model["content"])), path)

    async def _requirements(self, order: Order) -> list[Required]:
        """Read the requirements file of an order, as the contents manager gives it: no other file of this server."""
        if not order.requirements:
            return []
        path = str(PurePosixPath(order.path).parent / order.requirements)
        try:
            manager: Any = self.contents_manager
            model = await ensure_async(manager.get(path, type="file", format="base64", content=True))
        except web.HTTPError as error:
            why = (
                "there is no such file"
                if error.status_code == 404
                else error.log_message or error.reason or ""
            )
            raise BadRequest(f"--requirements {path} can't be read: {why}"[:500]) from error
        return read_bytes(base64.b64decode(model["content"]), path)

    async def _kernel(self, notebook: dict[str, Any], name: str) -> list[str]:
        kernelspec = notebook["metadata"].get("kernelspec")
        kernel_name = name or (kernelspec.get("name") if isinstance(kernelspec, dict) else "") or "python3"
        try:
            spec = await ensure_async(self.kernel_spec_manager.get_kernel_spec(str(kernel_name)))
        except (NoSuchKernel, ValueError) as error:
            raise BadRequest(
                f"this Jupyter server has no kernel {kernel_name!r}",
                hint="choose another kernel, or an image",
            ) from error
        return build.checked_argv(str(kernel_name), spec.argv, spec.language)

    @staticmethod
    async def _job(
        collector: NotebookCollector,
        order: Order,
        notebook: dict[str, Any],
        argv: list[str] | None,
        folder: Path | None,
        pip: list[Required],
    ) -> Job:
        node = await ask(collector, lambda api: api.offer())
        embedded = collector.client.api_now().endpoint.embedded

        def made() -> Job:
            taken = build.beside(notebook, folder) if folder is not None else Snapshot()
            if taken.warning:
                log.warning("%s", taken.warning)
            return build.notebook_job(
                files.with_parameters(notebook, order.parameters),
                order.path,
                node,
                shares_machine=embedded,
                environment=collector.client.environment,
                image=order.image,
                argv=argv,
                collector="jupyter",
                modules=taken.files,
                options=JobOptions(
                    cpu=order.resources.cpu,
                    memory=order.resources.memory,
                    disk=order.resources.disk,
                    gpu=order.resources.gpu,
                    inputs=order.inputs,
                    env=order.env,
                    network=order.network,
                    timeout=order.timeout,
                    name=order.name,
                    pip=pip,
                ),
            )

        # Asks another interpreter for its paths, sometimes, and the node to take them.
        return await asyncio.to_thread(made)


async def ask(collector: NotebookCollector, work: Callable[[AsyncAPI], Awaitable[T]]) -> T:
    """Make one API call on the client's own loop."""
    client = collector.client
    await asyncio.to_thread(client.api)
    return await asyncio.wrap_future(client.portal.start(client.acall(work)))


def read_order(body: bytes) -> Order:
    """Read the request's body.

    Raises
    ------
    BadRequest
        It is no JSON, a member is unknown or of the wrong type, or the path leads elsewhere.
    """
    try:
        plain = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(plain, dict):
        raise BadRequest("the body must be an object with the notebook's path")
    order = convert(plain, Order, "notebook order")
    check_path(order.path)
    if order.requirements and not _is_plain(order.requirements):
        raise BadRequest(f"{order.requirements[:200]!r} is not the path of a file beside the notebook")
    # Read here and for good: a path that got further would be read on this server.
    order.inputs = [_reference(item) for item in order.inputs]
    if order.timeout < 0:
        raise BadRequest("timeout must not be negative")
    return order


def _reference(item: object) -> InputSource:
    if not isinstance(item, str):
        raise BadRequest("inputs is not a list of strings")
    return parse_reference(item)


def check_path(path: str) -> None:
    """Refuse anything but a plain path to a notebook below the server's root; raises as `read_order` does."""
    if not _is_plain(path) or not path.endswith(".ipynb"):
        raise BadRequest(f"{path[:200]!r} is not the path of a notebook")


def _is_plain(path: str) -> bool:
    parts = path.split("/")
    return path.isprintable() and "\\" not in path and not any(part in ("", ".", "..") for part in parts)
