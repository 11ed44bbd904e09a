"""Starting one container: take over what is there, else pull, create, start. Everything blocks."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bacalhau_jupyter.engines.docker.daemon import Daemon, engine_error, explain, translated
from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.files.archive import Archive
from bacalhau_jupyter.engines.docker.files.hosts import hosts_archive, hosts_mount, own_hosts
from bacalhau_jupyter.engines.docker.files.kept import KeptInputs
from bacalhau_jupyter.engines.docker.files.ownership import open_outputs
from bacalhau_jupyter.engines.docker.files.placement import Placement, bind_mounts
from bacalhau_jupyter.engines.docker.gpu_check import REFUSED, install_hint, refusal
from bacalhau_jupyter.engines.docker.outward import WayOut
from bacalhau_jupyter.engines.docker.params import (
    COMPONENT,
    LABEL_EXECUTION,
    DockerParams,
    container_config,
    container_name,
)
from bacalhau_jupyter.engines.docker.registry.images import Images
from bacalhau_jupyter.engines.docker.registry.pulls import Abort
from bacalhau_jupyter.engines.docker.sharing.claims import check_claims
from bacalhau_jupyter.models.errors import CAPACITY, BacalhauError, EngineError, IOFailure, NetworkFailure
from bacalhau_jupyter.models.jobs.spec import NetworkType
from bacalhau_jupyter.plugins.contract import Progress
from bacalhau_jupyter.plugins.engine import RunRequest
from bacalhau_jupyter.plugins.inputs import check_inputs
from bacalhau_jupyter.transfer.core.files import io_failure

_EXEC_PROBLEM = re.compile(r'exec: ("[^"]*": .*?)(?:: unknown)?$', re.DOTALL)
_RUNTIME_PREFIX = re.compile(
    r"^.*(?:OCI runtime create failed|failed to create (?:shim )?task)[^:]*: ", re.DOTALL
)
_PORT_TAKEN = re.compile(r":(\d+)(?: failed: port is already allocated|: bind: address already in use)")


class Launcher:
    """Starts the container of one run request.

    The usual case costs two calls, create and start: the container's name is the execution's alone, so that
    a container that exists already shows as a conflict, and a missing image as "not found". Where files must be
    copied, the container is made only when all of them are there.
    """

    def __init__(
        self,
        daemon: Daemon,
        images: Images,
        request: RunRequest,
        params: DockerParams,
        default_network: NetworkType,
        *,
        placement: Placement = Placement.BIND,
        gpus: Mapping[str, Any] | None = None,
        way_out: WayOut | None = None,
        kept: KeptInputs | None = None,
    ) -> None:
        self._daemon = daemon
        self._images = images
        self._way_out = way_out
        self._params = params
        self._image = params.image
        self._name = container_name(request.node_id, request.execution)
        self._request = request
        self._config = container_config(
            request,
            params,
            default_network=default_network,
            log_drivers=daemon.log_drivers,
            gpus=gpus,
        )
        self._has_gpus = bool(gpus)
        self._archive = Archive(daemon, request, kept) if placement is Placement.ARCHIVE else None
        self._needs_hosts = bool(self._config.get("NetworkDisabled")) and not own_hosts(request)

    def launch(self, progress: Progress, abort: Abort) -> str:
        """Return the ID of the execution's container, which runs or has ended.

        A wish to abort is heard until the program begins; from then on it is `DockerEngine.cancel`'s business.

        Raises
        ------
        BacalhauError
            It could not be started; no container is left.
        """
        try:
            with translated(self._daemon.endpoint):
                return self._launch(progress, abort)
        except NetworkFailure:
            # It may have begun all the same: the next try, or `clean`, finds it by its name.
            raise
        except BaseException:
            if self._archive is not None:
                self._archive.discard()
            if self._way_out is not None:
                with contextlib.suppress(Exception):
                    self._way_out.discard()
            raise

    def _launch(self, progress: Progress, abort: Abort) -> str:
        from docker.errors import NotFound

        self._open_outputs()
        self._check_inputs()
        self._image = self._images.reference(self._params.image)
        if self._images.must_pull(self._params.image):
            self._image = self._images.bring(self._params.image, progress, abort)
        abort.check()
        try:
            container, started = self._create(progress, abort)
        except NotFound:
            self._image = self._images.bring(self._params.image, progress, abort)
            abort.check()
            container, started = self._create(progress, abort)
        if not started:
            try:
                with translated(self._daemon.endpoint):
                    self._begin(container, abort)
            except NetworkFailure:
                raise
            except BaseException:
                # Where even this fails, `clean` and the sweep at the next start find it by its label.
                with contextlib.suppress(Exception):
                    self._daemon.remove(container)
                raise
        return container

    def _begin(self, container: str, abort: Abort) -> None:
        abort.check()
        self._check_inputs()
        if self._archive is not None and self._needs_hosts:
            self._daemon.put_archive(container, "/etc", iter(hosts_archive()))
        if self._has_gpus:
            check_claims(self._daemon, container)
        self._start(container)
        # The engine has resolved the paths itself, in the meantime.
        self._check_inputs()

    def _open_outputs(self) -> None:
        try:
            open_outputs(self._request.outputs)
        except OSError as error:
            raise IOFailure(
                f"the result directory {error.filename} can't be made: {error.strerror}",
                fails_execution=True,
            ) from error

    def _hosts_mount(self) -> dict[str, Any]:
        try:
            return hosts_mount(self._request)
        except OSError as error:
            raise io_failure(
                error, "write the file of host names in", self._request.directory, COMPONENT
            ) from error

    def _check_inputs(self) -> None:
        """Make sure that the inputs are what was checked; from the first look on, they are to stay the same objects."""
        inputs = check_inputs(self._request.inputs, COMPONENT)
        self._request = replace(self._request, inputs=inputs)
        if self._archive is not None:
            self._archive.use(self._request)

    def _create(self, progress: Progress, abort: Abort) -> tuple[str, bool]:
        """Return a container's ID and whether it has been started before."""
        from docker.errors import APIError, NotFound

        if self._archive is None:
            mounts = bind_mounts(self._request, recursive_read_only=self._daemon.recursive_read_only)
            if self._needs_hosts:
                mounts.append(self._hosts_mount())
        elif (taken_over := self._take_over()) is not None:
            return taken_over
        else:
            mounts = self._archive.load(self._image, progress, abort)
        self._config["Image"] = self._image
        self._config["HostConfig"]["Mounts"] = mounts
        if self._way_out is not None:
            mode = self._way_out.make(self._image, self._config["Labels"])
            self._config["HostConfig"]["NetworkMode"] = mode
        for _ in range(2):
            try:
                made = self._daemon.api.create_container_from_config(self._config, name=self._name)
                return str(made["Id"]), False
            except NotFound:
                raise
            except APIError as error:
                if error.status_code != 409:
                    raise engine_error(f"the container can't be made: {explain(error)}") from error
            if (taken_over := self._take_over()) is not None:
                return taken_over
        raise engine_error(f'the container name "{self._name}" is in use', retryable=True)

    def _take_over(self) -> tuple[str, bool] | None:
        inspection = self._daemon.inspect(self._name)
        if inspection is None:
            return None
        labels: dict[str, Any] = inspection["Config"].get("Labels") or {}
        if labels.get(LABEL_EXECUTION) != self._config["Labels"][LABEL_EXECUTION]:
            raise engine_error(
                f'the container name "{self._name}" is used by a container that is not this node\'s'
            )
        status = inspection["State"]["Status"]
        if status in ("removing", "dead"):
            self._daemon.remove(self._name)
            return None
        return str(inspection["Id"]), status != "created"

    def _start(self, container: str) -> None:
        from docker.errors import APIError

        try:
            self._daemon.api.start(container)
        except APIError as error:
            raise _start_error(explain(error), self._daemon.endpoint) from error


def _where(endpoint: Endpoint) -> str:
    return f"on {endpoint.shown}" if endpoint.shown else "where the Docker Engine runs"


def _start_error(message: str, endpoint: Endpoint) -> EngineError | BacalhauError:
    """Keep of a nested runtime message what the person can act on."""
    problem = _EXEC_PROBLEM.search(message)
    if problem:
        return engine_error(
            f"failed to start container: exec: {problem.group(1)}",
            hint="Check Entrypoint and Parameters: the program must exist in the image and be executable.",
        )
    if (taken := _PORT_TAKEN.search(message)) is not None:
        return engine_error(f"port {taken.group(1)} is already in use {_where(endpoint)}", retryable=True)
    if problem_of_gpus := refusal(message, endpoint):
        # Jobs get these GPUs no more (`GpuCheck.refused`), so that this one runs where it can.
        return engine_error(
            problem_of_gpus,
            hint=install_hint(endpoint),
            code=REFUSED,
            retryable=True,
            details={CAPACITY: "true"},
        )
    return engine_error(f"failed to start container: {_RUNTIME_PREFIX.sub('', message)}")
