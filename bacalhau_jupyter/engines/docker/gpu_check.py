"""Whether this engine can hand a GPU to a container, found out before a job is taken. It blocks.

The tool of a vendor may be there where the engine's runtime is not. An engine tells some of what it has; that it tells
nothing proves nothing: NVIDIA's hook need only be on the engine's PATH. Then a container of an empty image is started,
whose program does not exist: the engine chooses the driver first.
"""

from __future__ import annotations

import contextlib
import re
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

from bacalhau_jupyter.engines.docker.daemon import Daemon, explain
from bacalhau_jupyter.engines.docker.devices import DEVICES, cdi_name, gpu_options, is_nvidia
from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.params import LABEL_EXECUTION, LABEL_NODE, execution_label
from bacalhau_jupyter.engines.docker.sharing.owners import owner_labels
from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.resources import GPU

RUNTIME = "nvidia"
ASK_AGAIN_S = 60.0
"""Seconds after which an engine without a runtime is tried again."""
REFUSED_S = 300.0
"""Seconds for which jobs get no GPU that the engine has refused to a container, whatever it says of itself."""
REFUSED = "GPURefused"
"""The code of the error of a container that did not get its GPUs."""

_EMPTY_ARCHIVE = b"\0" * 1024
_PROGRAM = "/bacalhau-gpu-check"
_NO_DRIVER = "could not select device driver"
# That an image wants a newer driver (a "requirement error") is no fault of the GPU.
_BROKEN = re.compile(r"nvidia-container-cli: (?:initialization|device) error[^\n]{0,150}")


def install_hint(endpoint: Endpoint) -> str:
    """Say what helps where an engine has no GPU runtime, by the way in which its machine gets jobs."""
    if endpoint.shown:
        where, key = endpoint.shown, "allocated: {gpu: 0} of its entry in hosts.yaml"
    else:
        where, key = "this node", "Compute.AllocatedCapacity.GPU=0"
    return f"Install the NVIDIA Container Toolkit on {where}, or set {key}."


def subject(endpoint: Endpoint) -> str:
    """Return what to call an engine: the only one of this machine needs no address."""
    return endpoint.engine if endpoint.shown else "the Docker Engine"


def refusal(message: str, endpoint: Endpoint) -> str:
    """Return why a container did not get its GPUs, from what the engine says; empty for another trouble."""
    if message.startswith(_NO_DRIVER):
        return f"{subject(endpoint)} can't hand GPUs to containers: it has no GPU runtime"
    if (broken := _BROKEN.search(message)) is not None:
        return f"the GPU runtime of {subject(endpoint)} fails: {broken[0]}"
    return ""


class GpuCheck:
    """Answers for one engine; safe to use from several threads."""

    def __init__(self, daemon: Daemon, node_id: str, clock: Clock, devices: Path = DEVICES) -> None:
        self._devices = devices
        self._daemon = daemon
        self._node_id = node_id
        self._clock = clock
        self._lock = threading.Lock()
        self._tried_ns: int | None = None
        self._is_there = False
        self._problem = ""
        self._refused: dict[tuple[str, int], tuple[int, str]] = {}

    def refused(self, gpus: Sequence[GPU], problem: str) -> None:
        """Note that a container did not get these GPUs, and why."""
        now = self._clock.monotonic_ns()
        with self._lock:
            self._refused.update((gpu.key, (now, problem)) for gpu in gpus if is_nvidia(gpu))

    def problem(self, gpu: GPU) -> str:
        """Say why a container can't get this GPU; empty when it can, as far as that can be known."""
        if not is_nvidia(gpu):
            try:
                place = self._daemon.place
                gpu_options([gpu], self._devices, there=DEVICES if place else None, where=place)
            except EngineError as error:
                return error.message
            return ""
        if problem := self._recently_refused(gpu):
            return problem
        if RUNTIME in self._daemon.runtimes or cdi_name(gpu) in self._daemon.cdi_devices:
            return ""
        with self._lock:
            now = self._clock.monotonic_ns()
            is_old = self._tried_ns is None or now - self._tried_ns > ASK_AGAIN_S * SECOND
            if is_old and not self._is_there:
                self._is_there, self._problem = self._judge(self._try(gpu))
                self._tried_ns = now
            return self._problem

    def _recently_refused(self, gpu: GPU) -> str:
        with self._lock:
            since_ns, problem = self._refused.get(gpu.key, (0, ""))
            return problem if self._clock.monotonic_ns() - since_ns < REFUSED_S * SECOND else ""

    def _judge(self, message: str) -> tuple[bool, str]:
        """Return whether the runtime is surely there, and what is wrong with it."""
        problem = refusal(message, self._daemon.endpoint)
        if problem:
            hint = " (install the NVIDIA Container Toolkit)" if _NO_DRIVER in message else ""
            return False, f"{problem}{hint}"
        # That the program does not exist means that all before it went well; another trouble means nothing.
        return _PROGRAM in message, ""

    def _try(self, gpu: GPU) -> str:
        """Return what the engine says to a container with this GPU and without its program."""
        from docker.errors import APIError

        api = self._daemon.api
        name = f"bacalhau-jupyter-gpu-check-{uuid.uuid4().hex[:12]}"
        config = {
            "Image": f"{name}:1",
            "Cmd": [_PROGRAM],
            "NetworkDisabled": True,
            # The sweep of the next start finds what a crash leaves.
            "Labels": {
                LABEL_NODE: self._node_id,
                LABEL_EXECUTION: execution_label(self._node_id, f"e-{uuid.uuid4()}"),
                **owner_labels(),
            },
            "HostConfig": {"NetworkMode": "none", **gpu_options([gpu])},
        }
        try:
            api.import_image_from_data(_EMPTY_ARCHIVE, repository=name, tag="1")
            container = api.create_container_from_config(config, name=name)["Id"]
            try:
                api.start(container)
            finally:
                self._daemon.remove(container)
        except APIError as error:
            return explain(error)
        finally:
            with contextlib.suppress(APIError):
                api.remove_image(f"{name}:1", force=True)
        return ""
