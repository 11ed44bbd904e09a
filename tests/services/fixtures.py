"""The services as pytest fixtures; `tests/conftest.py` offers them to every test."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.services import docker_engine as engines
from tests.services import images, leaks
from tests.services.common import ServiceUnavailableError, in_ci, is_worker
from tests.services.http_server import BadHttpServer
from tests.services.ports import free_port
from tests.services.registry import Registry

T = TypeVar("T")
# Bootstrapping the Python image takes its time, once.
SERVICE_TIMEOUT_S = 1200


def service_or_skip(obtain: Callable[[], T]) -> T:
    """Return what `obtain` returns; where it can't, skip the test with its reason (fail in CI)."""
    try:
        return obtain()
    except ServiceUnavailableError as error:
        if in_ci():
            pytest.fail(f"a service is missing in CI: {error}", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory like `tmp_path` that other users of this machine can get to.

    Whichever run of pytest starts, from any checkout, closes the directory above everybody's `tmp_path` to them.
    """
    with tempfile.TemporaryDirectory(prefix="open-", ignore_cleanup_errors=True) as name:
        place = Path(name).resolve()
        place.chmod(0o755)
        yield place


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[str]:
    """The address of a Docker Engine that answers, such as ``unix:///var/run/docker.sock``."""
    engine = service_or_skip(engines.obtain)
    yield engine.base_url
    if engine.started and not is_worker():
        engines.stop()


@pytest.fixture(scope="session")
def busybox_image(docker_engine: str) -> str:
    """The name of a busybox image (2 MB, `CMD ["sh"]`, all applets) in `docker_engine`."""
    return service_or_skip(lambda: images.ensure_busybox(docker_engine))


@pytest.fixture(scope="session")
def python_image(docker_engine: str) -> str:
    """The name of an image with Python 3.11 as `python3` and `python` in `docker_engine`."""
    return service_or_skip(lambda: images.ensure_python(docker_engine))


@pytest.fixture(scope="session")
def registry(docker_engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """An empty image registry on a loopback port; `registry.push(image)` fills it from `docker_engine`."""
    running = service_or_skip(lambda: Registry(tmp_path_factory.mktemp("registry"), docker_engine))
    yield running
    running.close()


@pytest.fixture
def unused_tcp_port() -> int:
    """A port for one server of the test; pytest-asyncio's own fixture lets others have it meanwhile."""
    return free_port()


@pytest.fixture(scope="session")
def unused_tcp_port_factory() -> Callable[[], int]:
    """Give ports such as `unused_tcp_port`."""
    return free_port


@pytest.fixture
def http_server() -> Iterator[BadHttpServer]:
    """A fresh HTTP server with the routes of `tests/services/http_server.py`."""
    server = BadHttpServer()
    yield server
    server.close()


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail the test when a thread, child process, internet socket or container of ours outlives it.

    Ask for it first, so that everything else is torn down before it looks. Containers are watched where an engine
    already answers.
    """
    engine_url = engines.find()
    before = leaks.Snapshot.take(engine_url)
    yield
    left = leaks.leftovers(before, engine_url)
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)
