"""A connection to one Docker Engine, and the words for what may go wrong with it.

Everything here blocks and is called from worker threads only.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bacalhau_jupyter.engines.docker.connecting import (
    PROBE_TIMEOUT_S,
    NoEngine,
    check_socket,
    in_words,
    open_client,
)
from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.output.streams import Stream, json_lines
from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import parse_rfc3339
from bacalhau_jupyter.models.errors import BacalhauError, EngineError, NetworkFailure
from bacalhau_jupyter.models.told import mappings

CALL_TIMEOUT_S = 120
"""Seconds that one call to the engine may take (streams have no separate limit)."""
LEAST_SKEW_S = 1.0
"""Seconds by which another clock must differ: less may be the time that the question took."""
OOM_WAIT_S = 3.0
"""Seconds that the news of an out-of-memory kill may come after the end of its container."""
RECURSIVE_READ_ONLY = (1, 44)
"""API version from which on it is."""
LOCAL_KEEPS_NEWLINES = (1, 42)
"""API version from which on it does (Docker Engine 23)."""


class Daemon:
    """An open connection; see `connect`.

    Attributes
    ----------
    api
        The SDK's low-level client (`docker.APIClient`; much of it carries no types).
    place
        The Docker host whose engine it is, for people ("host gpu1"); empty on this machine.
    platform
        ``os/architecture`` that the engine runs, in Go's words.
    runtime
        Name and version for people.
    log_drivers
        Names of its log drivers; none where it does not tell.
    runtimes
        Names of its OCI runtimes.
    cdi_devices
        Names of the devices that it knows by CDI (``nvidia.com/gpu=0``); Docker Engine 28.3 tells them.
    skew_ns
        By how much its clock was ahead of ours when it was last asked; 0 where that is too little to be sure of.
    identity
        The ID that it calls itself by; empty where it has none.
    loses_newlines
        Whether its log driver ``local`` loses newlines (moby 990b0e28ba).
    """

    def __init__(
        self,
        api: Any,
        endpoint: Endpoint,
        version: Mapping[str, Any],
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.api: Any = api
        self.endpoint = endpoint
        self.place = endpoint.shown
        self.platform = f"{version.get('Os', 'linux')}/{version.get('Arch', '')}"
        info = info or {}
        self.skew_ns = 0
        self._compared_s = 0.0
        self._is_podman = _is_podman(version)
        self.identity = self._identity(info)
        self.log_drivers = frozenset((info.get("Plugins") or {}).get("Log") or ())
        self.runtimes = frozenset(info.get("Runtimes") or ())
        self.cdi_devices = frozenset(
            str(device.get("Name", ""))
            for device in info.get("DiscoveredDevices") or ()
            if device.get("Source") == "cdi"
        )
        # What the engine speaks itself: a person may have chosen an older version to speak with it.
        self.loses_newlines = _version(version.get("ApiVersion", api.api_version)) < LOCAL_KEEPS_NEWLINES
        self.runtime = f"Docker Engine {version.get('Version', '')}".strip()

    def stream(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int],
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        body: Iterator[bytes] | None = None,
    ) -> Stream:
        """Start a request whose answer is read bit by bit, for as long as it takes.

        ``timeout_s`` bounds the seconds between two bits. What ``body`` raises comes out, unless it is an `OSError`.

        The SDK's own streams drop the stream number of log frames and can't be interrupted from outside.
        """
        response = self.api.request(
            method,
            f"{self.api.base_url}/v{self.api.api_version}{path}",
            params=dict(params),
            headers=dict(headers or {}),
            data=body,
            stream=True,
            timeout=(PROBE_TIMEOUT_S if body is None else CALL_TIMEOUT_S, timeout_s),
        )
        self.api._raise_for_status(response)
        return Stream(response)

    def inspect(self, container: str) -> dict[str, Any] | None:
        """Return what the engine knows of a container; None where there is none."""
        from docker.errors import NotFound

        try:
            inspection: dict[str, Any] = self.api.inspect_container(container)
        except NotFound:
            return None
        return inspection

    def measure_skew(self, info: Mapping[str, Any], asked_ns: int, answered_ns: int) -> None:
        """Compare its clock with ours; the call that brought ``info`` took from the one time to the other."""
        try:
            told_ns = parse_rfc3339(str(info.get("SystemTime", "")))
        except ValueError:
            return
        self._compared_s = time.monotonic()
        skew_ns = told_ns - (asked_ns + answered_ns) // 2
        self.skew_ns = skew_ns if abs(skew_ns) > LEAST_SKEW_S * SECOND + (answered_ns - asked_ns) else 0

    @property
    def clock_age_s(self) -> float:
        """Seconds since its clock was compared with ours; somebody may have set it."""
        return time.monotonic() - self._compared_s

    def compare_clocks(self) -> Mapping[str, Any]:
        """Compare its clock with ours as they are now; return what it tells of itself."""
        asked_ns = time.time_ns()
        info: Mapping[str, Any] = self.api.info()
        self.measure_skew(info, asked_ns, time.time_ns())
        return info

    def refresh(self) -> bool:
        """Ask an engine that was away who it is and what its clock says; False where it is another one, or renewed."""
        info = self.compare_clocks()
        same_version = f"Docker Engine {info.get('ServerVersion', '')}".strip() == self.runtime
        return same_version and self._identity(info) == self.identity

    def _identity(self, info: Mapping[str, Any]) -> str:
        if self._is_podman:
            # Its ID is another one at each question.
            return f"podman {info.get('Name', '')} {info.get('DockerRootDir', '')}"
        return str(info.get("ID") or "")

    def began_ns(self) -> int:
        """Return when the engine was last started, by its own clock; 0 where it can't be told."""
        from docker.errors import APIError

        try:
            # The bridge is made anew at each start of the engine.
            return parse_rfc3339(str(self.api.inspect_network("bridge").get("Created", "")))
        except (APIError, ValueError):
            return 0

    def ran_out_of_memory(self, container: str, started: str) -> bool:
        """Whether the kernel killed something in a container that has ended, by the engine's events.

        Its state may miss that: under load the engine hears of the end before it hears of the kill.
        """
        query: dict[str, str | int] = {
            "since": _seconds(parse_rfc3339(started)),
            "until": _seconds(time.time_ns() + self.skew_ns + int(OOM_WAIT_S * SECOND)),
            "filters": json.dumps({"container": [container], "event": ["oom"]}),
        }
        with self.stream("GET", "/events", query) as stream:
            if any(event.get("Action") == "oom" for event in json_lines(stream)):
                return True
        # By now the state may have it, also where the event was lost.
        inspection = self.inspect(container)
        return inspection is not None and bool(inspection["State"].get("OOMKilled"))

    def containers(self, *labels: tuple[str, str]) -> list[dict[str, Any]]:
        """Return short descriptions of all containers, in any state, that carry the labels."""
        label_filters = [f"{name}={value}" for name, value in labels]
        matching: list[dict[str, Any]] = self.api.containers(all=True, filters={"label": label_filters})
        return matching

    def labelled_containers(self, name: str) -> list[dict[str, Any]]:
        """Return short descriptions of all containers, in any state, that carry a label, whatever its value."""
        matching: list[dict[str, Any]] = self.api.containers(all=True, filters={"label": [name]})
        return matching

    def labelled_volumes(self, name: str) -> list[dict[str, Any]]:
        """Return descriptions of all volumes that carry a label, whatever its value."""
        matching: list[dict[str, Any]] | None = self.api.volumes(filters={"label": [name]})["Volumes"]
        return matching or []

    def check_reachable(self) -> None:
        """Make sure that something listens, without a call of the SDK (which leaks a socket when nothing does).

        Raises
        ------
        NetworkFailure
            Nothing does.
        """
        try:
            check_socket(self.endpoint)
        except NoEngine as error:
            raise no_answer(self.endpoint) from error

    def remove(self, container: str) -> None:
        """Kill and remove a container; one that is gone, or on its way out, is fine."""
        from docker.errors import APIError, NotFound

        try:
            self.api.remove_container(container, force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            if "in progress" not in str(error.explanation):
                raise

    @property
    def recursive_read_only(self) -> bool:
        """Whether a read-only mount is read-only in everything that is mounted below it (Docker Engine 25)."""
        return _version(self.api.api_version) >= RECURSIVE_READ_ONLY

    def put_archive(self, container: str, path: str, blocks: Iterator[bytes]) -> None:
        """Unpack a tar stream in a container; what ``blocks`` raises comes out, unless it is an `OSError`."""
        response = self.api.request(
            "PUT",
            f"{self.api.base_url}/v{self.api.api_version}/containers/{container}/archive",
            params={"path": path},
            data=blocks,
            headers={"Content-Type": "application/x-tar"},
            timeout=CALL_TIMEOUT_S,
        )
        self.api._raise_for_status(response)

    def volumes(self, *labels: tuple[str, str]) -> list[dict[str, Any]]:
        """Return descriptions of all volumes that carry the labels."""
        label_filters = [f"{name}={value}" for name, value in labels]
        matching: list[dict[str, Any]] | None = self.api.volumes(filters={"label": label_filters})["Volumes"]
        return matching or []

    def remove_volume(self, name: str) -> None:
        """Remove a volume; one that is gone is fine."""
        from docker.errors import NotFound

        with contextlib.suppress(NotFound):
            self.api.remove_volume(name)

    def close(self) -> None:
        """Close idle connections."""
        self.api.close()


def _is_podman(version: Mapping[str, Any]) -> bool:
    components = mappings(version.get("Components"), 20)
    return any(str(each.get("Name", "")).startswith("Podman") for each in components)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _seconds(time_ns: int) -> str:
    return f"{time_ns // SECOND}.{time_ns % SECOND:09}"


def connect(endpoints: Sequence[Endpoint], headers: Mapping[str, str] | None = None) -> Daemon:
    """Connect to the first endpoint that answers.

    Parameters
    ----------
    headers
        Sent with each request (``HttpHeaders`` of Docker's configuration).

    Raises
    ------
    NoEngine
        None does; the sentence says why.
    """
    try:
        import docker  # noqa: F401  (only whether it is there)
    except ImportError:
        raise NoEngine('the Docker SDK is not installed: pip install "bacalhau-jupyter[docker]"') from None
    reasons = []
    for endpoint in endpoints:
        try:
            return _open(endpoint, headers or {})
        except NoEngine as reason:
            reasons.append(reason)
    # A socket that exists and refuses says more than one that is not there.
    raise next((reason for reason in reasons if "permission" in str(reason)), reasons[0])


def _open(endpoint: Endpoint, headers: Mapping[str, str]) -> Daemon:
    from docker.errors import DockerException

    api: Any = None
    try:
        api = open_client(endpoint, headers)
        version = api.version()
        asked_ns = time.time_ns()
        info = api.info()
        daemon = Daemon(api, endpoint, version, info)
        daemon.measure_skew(info, asked_ns, time.time_ns())
    except (DockerException, OSError, ValueError, TypeError, AttributeError) as error:
        # A ValueError: the address or the version is malformed. The others: so is what it says of itself.
        if api is not None:
            api.close()
        reason = in_words(error, endpoint)
        place = endpoint.shown or f"{endpoint.url} ({endpoint.origin})"
        raise NoEngine(f"no Docker Engine answers at {place}: {reason}") from error
    api.timeout = CALL_TIMEOUT_S
    # A socket needs no proxy, and looking for one costs a good part of a call.
    api.trust_env = endpoint.socket is None
    if version.get("Os") != "linux":
        api.close()
        raise NoEngine(f"{endpoint.engine} runs {version.get('Os')} containers, not linux ones")
    return daemon


def explain(error: Exception) -> str:
    """Return the engine's own sentence of an SDK error."""
    return str(getattr(error, "explanation", None) or error).strip()


@contextlib.contextmanager
def translated(endpoint: Endpoint) -> Iterator[None]:
    """Turn what the SDK raises into our errors.

    Raises
    ------
    BacalhauError
        `NetworkFailure` when the engine does not answer, `EngineError` with its own sentence otherwise.
    """
    import requests
    from docker.errors import APIError, DockerException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except BacalhauError:
        raise
    except (requests.RequestException, HTTPError, ConnectionError) as error:
        if isinstance(error, APIError):
            raise engine_error(explain(error)) from error
        raise no_answer(endpoint) from error
    except DockerException as error:
        raise engine_error(explain(error)) from error


def no_answer(endpoint: Endpoint) -> NetworkFailure:
    """Return the error of an engine that has gone or is silent."""
    where = "there " if endpoint.shown else ""
    return NetworkFailure(
        f"{endpoint.engine} does not answer",
        hint=f"Check that Docker is running {where}(`docker info`).",
        retryable=True,
        fails_execution=True,
    )


def engine_error(message: str, **kwargs: Any) -> EngineError:
    """Return an error of this engine that fails its execution."""
    return EngineError(message, fails_execution=True, **kwargs)
