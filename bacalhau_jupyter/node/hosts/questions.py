"""Asks the Docker Engine behind a link what its machine has."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any

from bacalhau_jupyter.compute.host.far import EngineAnswer
from bacalhau_jupyter.engines.docker.connecting import NoEngine, in_words, open_client
from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.link.asking import Asker, tls_context
from bacalhau_jupyter.engines.docker.params import LABEL_NODE
from bacalhau_jupyter.engines.docker.sharing.owners import owner_labels
from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.models.told import mapping, mappings, words
from bacalhau_jupyter.node.hosts.naming import COMPONENT
from bacalhau_jupyter.plugins.threads import in_thread

MOST_CONTAINERS = 100
"""Containers that are looked at: what others hold is a hint, not an account."""
_EMPTY = "bacalhau-jupyter/empty"
_TAG = "probe"
_MOUNTS = ("/usr", "/lib", "/lib64", "/bin", "/sbin")
_DISK = "/bacalhau-disk"
_DISK_S = 30.0
ASK_S = 60.0
"""Seconds that an engine may take to say what it has."""


class DockerQuestions:
    """Asks one engine (`compute.host.far.EngineQuestions`).

    Parameters
    ----------
    host
        What people call it, for sentences.
    node_id
        The node that runs jobs there: a container that a broken link leaves says whose it is.
    endpoint
        Returns where calls are made now.
    """

    def __init__(self, host: str, node_id: str, endpoint: Callable[[], Endpoint], clock: Clock) -> None:
        self._host = host
        self._node_id = node_id
        self._endpoint = endpoint
        self._clock = clock
        self._asking: dict[bool, Future[EngineAnswer]] = {}

    async def ask(self, *, disk: bool) -> EngineAnswer:
        asking = self._asking.get(disk)
        if asking is None or asking.done():
            # Who asks meanwhile gets the same answer: an engine that is slow shall not have more threads each time.
            asking = self._asking[disk] = in_thread(lambda: self._ask(disk))
        answer = asyncio.wrap_future(asking)
        # Where nobody waits any more, an error is nobody's.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            async with asyncio.timeout(ASK_S + _DISK_S):
                return await asyncio.shield(answer)
        except TimeoutError:
            raise _unanswered(self._host, f"it takes longer than {ASK_S + _DISK_S:g} s") from None

    async def ended(self, names: Collection[str], since_s: float) -> bool:
        endpoint = self._endpoint()
        try:
            context = None if endpoint.tls is None else await asyncio.to_thread(tls_context, endpoint.tls)
        except OSError:
            return False
        return await Asker(endpoint, context).ended(names, since_s)

    def _ask(self, disk: bool) -> EngineAnswer:
        endpoint = self._endpoint()
        with self._connected(endpoint) as client:
            # Somebody may set this machine's clock meanwhile: how long things take is not read from it.
            asked_ns, began_ns = self._clock.now_ns(), self._clock.monotonic_ns()
            info = mapping(client.info())
            answered_ns = asked_ns + self._clock.monotonic_ns() - began_ns
            if not info:
                raise NoEngine("it does not say what it is")
            listed = client.containers(limit=MOST_CONTAINERS, filters={"status": "running"})
            containers = []
            for each in mappings(listed, MOST_CONTAINERS):
                if self._clock.monotonic_ns() - began_ns > ASK_S * SECOND:
                    # What others hold is a hint: the rest of it is worth no more time.
                    break
                if (described := _inspected(client, words(each.get("Id")))) is not None:
                    containers.append(described)
            root = words(info.get("DockerRootDir"), 4096) or "/"
            free = _free_disk(client, root, self._node_id) if disk else None
            return EngineAnswer(info, containers, asked_ns, answered_ns, free)

    @contextlib.contextmanager
    def _connected(self, endpoint: Endpoint) -> Iterator[Any]:
        from docker.errors import DockerException
        from requests import RequestException

        try:
            client = open_client(endpoint, {})
            try:
                yield client
            finally:
                client.close()
        except NoEngine as error:
            raise _unanswered(self._host, str(error)) from error
        except (DockerException, RequestException, OSError, ValueError) as error:
            raise _unanswered(self._host, in_words(error, endpoint)) from error


def _inspected(client: Any, container: str) -> Mapping[str, Any] | None:
    from docker.errors import APIError

    try:
        return mapping(client.inspect_container(container))
    except APIError:
        # It has just ended.
        return None


def _free_disk(client: Any, root: str, node_id: str) -> int | None:
    """Return the free bytes where an engine keeps its data, as the host's own ``df`` tells it in a container.

    The container is made of an empty image, in which the host's programs are mounted read-only: nothing is fetched.
    None where that does not work (a host without such programs).
    """
    from docker.errors import APIError

    try:
        created = _disk_container(client, root, node_id)
        if created is None:
            return None
        try:
            client.start(created)
            client.wait(created, timeout=_DISK_S)
            lines = client.logs(created).decode(errors="replace").strip().splitlines()
        finally:
            client.remove_container(created, force=True)
    except APIError:
        return None
    words = lines[-1].split() if lines else []
    return int(words[3]) if len(words) >= 6 and words[3].isdecimal() else None


def _disk_container(client: Any, root: str, node_id: str) -> Any:
    """Make the container that tells the free disk; None where that does not work.

    Its name is the same each time: of those that broken links leave, there is one at most.
    """
    from docker.errors import APIError, ImageNotFound
    from docker.types import Mount

    name, labels = f"bacalhau-{node_id}-disk-check", {LABEL_NODE: node_id, **owner_labels()}
    places = {_DISK: root} | {path: path for path in _MOUNTS}
    for _ in range(len(_MOUNTS) + 3):
        mounts = [Mount(target, source, type="bind", read_only=True) for target, source in places.items()]
        limits = client.create_host_config(mounts=mounts, network_mode="none")
        try:
            return client.create_container(
                f"{_EMPTY}:{_TAG}", ["df", "-PB1", _DISK], host_config=limits, labels=labels, name=name
            )
        except ImageNotFound:
            # Only where there is none: each import would leave the one before as an image without a name.
            _make_empty_image(client)
        except APIError as error:
            if error.status_code == HTTPStatus.CONFLICT:
                client.remove_container(name, force=True)
                continue
            # Not every system has each of these directories.
            missing = next((path for path in _MOUNTS if path in places and _names(error, path)), None)
            if missing is None:
                return None
            del places[missing]
    return None


def _make_empty_image(client: Any) -> None:
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    client.import_image_from_data(empty.getvalue(), repository=_EMPTY, tag=_TAG)


def _names(error: Exception, path: str) -> bool:
    return re.search(rf"{re.escape(path)}(?![\w/])", str(error)) is not None


def _unanswered(host: str, reason: str) -> NetworkFailure:
    return NetworkFailure(
        f"the Docker Engine of host {host} does not answer: {reason}", retryable=True, component=COMPONENT
    )
