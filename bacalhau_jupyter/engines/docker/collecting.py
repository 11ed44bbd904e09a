"""What is done when a container has ended, before anybody hears of it: its results become the node's. It blocks."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from bacalhau_jupyter.engines.docker.daemon import Daemon, translated
from bacalhau_jupyter.engines.docker.files.archive import Archive, carried
from bacalhau_jupyter.engines.docker.files.ownership import copy_out, hand_over, unreadable
from bacalhau_jupyter.engines.docker.output.follower import Follower
from bacalhau_jupyter.engines.docker.params import docker_params, task_of
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.plugins.contract import Progress
from bacalhau_jupyter.plugins.engine import RunRequest

_log = logging.getLogger(__name__)


class Collector:
    """Brings the results of one execution here, or makes them readable.

    Parameters
    ----------
    own
        The node's directory.
    copied
        Whether files are copied to the engine and back, for a container that has gone.
    """

    def __init__(
        self, daemon: Daemon, request: RunRequest, own: Path, *, copied: bool, progress: Progress
    ) -> None:
        self._daemon = daemon
        self._request = request
        self._own = own
        self._copied = copied
        self._progress = progress

    def collect(self, follower: Follower) -> None:
        """Do it for a container that has ended.

        Raises
        ------
        BacalhauError
            `NetworkFailure` where the engine does not answer; then it can be done again.
        Interrupted
            Nobody waits for it any more.
        """
        request, inspection = self._request, follower.inspected
        if carried(inspection) if inspection else self._copied:
            image = docker_params(task_of(request.execution)).image
            with finished_work():
                Archive(self._daemon, request).unload(
                    str(inspection.get("Image", image)), self._progress, follower.hurry
                )
        elif follower.cancelled or os.geteuid() == 0:
            return
        elif any(unreadable(output.path) for output in request.outputs):
            try:
                with translated(self._daemon.endpoint):
                    hand_over(self._daemon, inspection, request.node_id, self._own, unreadable)
            except NetworkFailure:
                raise
            except BacalhauError as error:
                _log.info("execution %s: %s; copying its results instead", request.execution.id, error)
                make_readable(self._daemon, follower.container, request, follower.hurry)


@contextlib.contextmanager
def finished_work() -> Iterator[None]:
    """Mark an error that no further run of the task would mend: its work is done."""
    try:
        yield
    except BacalhauError as error:
        error.fails_job = not (error.retryable or isinstance(error, NetworkFailure))
        raise


def make_readable(daemon: Daemon, container: str, request: RunRequest, stop: threading.Event) -> None:
    """Copy results that this process may not read; where that fails, too, those are left out of what is published."""
    try:
        with translated(daemon.endpoint):
            copy_out(daemon, container, request.outputs, stop)
    except NetworkFailure:
        raise
    except (BacalhauError, OSError) as error:
        _log.warning("execution %s: not all of its results can be read: %s", request.execution.id, error)
