"""``@remote``: a function whose calls are jobs."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Unpack, overload

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.interrupts import kernel_ends, own_shell
from bacalhau_jupyter.client.jobs.job import Job, JobFailed
from bacalhau_jupyter.client.jobs.many import Many, Member, group_label
from bacalhau_jupyter.client.jobs.options import JobKeywords, JobOptions
from bacalhau_jupyter.client.jobs.standing import find_view
from bacalhau_jupyter.client.remote.call import Place, job_of_call, name_of
from bacalhau_jupyter.client.remote.mapped import Mapped
from bacalhau_jupyter.client.remote.showing import show_output
from bacalhau_jupyter.client.remote.values import remote_error, value_of
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.config.choice.choice import cluster_choice
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job as JobModel

_INTERRUPTED = "interrupted by its caller"
_PLAIN = (str, int, float, bool, type(None))


class RemoteFunction:
    """A function whose calls are jobs.

    Calling it submits a job, shows what the job prints, waits, and returns the value. The function and its arguments
    travel by cloudpickle; values come back as frames, arrays, JSON, text or bytes, and nothing is unpickled here.

    Parameters
    ----------
    function
        The function.
    place
        Where its calls run.
    client
        Gives the cluster; called at each use.
    """

    def __init__(self, function: Callable[..., Any], place: Place, client: Callable[[], Client]) -> None:
        self._function = function
        self._place = place
        self._client = client
        functools.update_wrapper(self, function)

    @property
    def name(self) -> str:
        """The function's name."""
        return name_of(self._function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in a job; an interrupt stops the job.

        Raises
        ------
        RemoteError
            The function raised an exception.
        JobFailed
            The job did not end well for another reason.
        BacalhauError
            The function, an argument or the value can't travel.
        """
        job = self.submit(*args, **kwargs)
        try:
            show_output(job)
            result = job.outcome()
        except KeyboardInterrupt:
            if not kernel_ends(own_shell()):
                job.stop(_INTERRUPTED)
            raise
        except JobFailed as failure:
            raise remote_error(failure, self.name) from None
        return value_of(result, self.name)

    async def aio(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in a job without blocking: ``await f.aio(x)``. What the job prints is not shown.

        Who stops waiting (a time-out, an interrupt) stops the job.

        Raises
        ------
        BacalhauError
            See a call.
        """
        # A submission that is under way is waited for: the cluster may have taken the job.
        submitting = asyncio.ensure_future(asyncio.to_thread(self.submit, *args, **kwargs))
        try:
            job = await asyncio.shield(submitting)
            result = await job
        except JobFailed as failure:
            raise (await asyncio.to_thread(remote_error, failure, self.name)) from None
        except asyncio.CancelledError:
            await _stopped(submitting)
            raise
        return await asyncio.to_thread(value_of, result, self.name)

    def local(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function here, as if it were not decorated."""
        return self._function(*args, **kwargs)

    def submit(self, *args: Any, **kwargs: Any) -> Job:
        """Submit a call; return the job at once. `value` reads its value once it is over.

        Raises
        ------
        BacalhauError
            The function or an argument can't travel, or the cluster refuses the job.
        """
        client = self._client()
        return client.submit(self._model(client, functools.partial(self._function, *args, **kwargs)))

    def value(self, result: JobResult | Job) -> Any:
        """Return the value of a call that was submitted with `submit`; a job is waited for.

        Raises
        ------
        BacalhauError
            See a call.
        """
        try:
            finished = result.result() if isinstance(result, Job) else result
        except JobFailed as failure:
            raise remote_error(failure, self.name) from None
        return value_of(finished, self.name)

    def map(self, items: Iterable[Any]) -> Mapped:
        """Call the function once per item, a job each, and wait for all; an interrupt stops all.

        Raises
        ------
        ManyFailed
            Calls failed; the others went on to their end. ``error.members`` has all results.
        """
        chosen = list(items)
        client = self._client()
        place = self._place.with_label(group_label())
        members = [
            Member(_label(item, number), self._model(client, functools.partial(self._function, item), place))
            for number, item in enumerate(chosen)
        ]
        many, view = Many(client, members, "calls"), find_view()
        try:
            many.run(view=view)
        except KeyboardInterrupt:
            if not kernel_ends(own_shell()):
                many.stop(_INTERRUPTED)
                view.finish(many.standings())
            raise
        values = self._values(members)
        many.raise_for_failures()
        return Mapped(values, self._parameters(chosen), members)

    def _values(self, members: Sequence[Member]) -> list[Any]:
        values = []
        for member in members:
            if isinstance(member.error, JobFailed):
                member.error = remote_error(member.error, self.name)
            elif member.result is not None and member.error is None:
                try:
                    values.append(value_of(member.result, self.name))
                except BacalhauError as error:
                    member.error = error
        return values

    def _parameters(self, items: Sequence[Any]) -> list[dict[str, Any]]:
        """Return what a frame says about each item: the item itself, or its number where it is no plain value."""
        name = "item"
        with suppress(ValueError, TypeError):
            name = next(iter(inspect.signature(self._function).parameters), name)
        is_plain = all(isinstance(item, _PLAIN) for item in items)
        return [{name: item if is_plain else number} for number, item in enumerate(items)]

    def _model(self, client: Client, call: functools.partial[Any], place: Place | None = None) -> JobModel:
        model, warning = job_of_call(
            call,
            place or self._place,
            client.info,
            shares_machine=client.endpoint.embedded,
            environment=client.environment,
        )
        if warning:
            warnings.warn(warning, stacklevel=3)
        return model

    def __repr__(self) -> str:
        return f"<remote function {self.name}>"


@overload
def remote(function: Callable[..., Any], /) -> RemoteFunction: ...


@overload
def remote(
    *,
    image: str = "",
    engine: str = "",
    modules: bool = True,
    client: Client | None = None,
    **options: Unpack[JobKeywords],
) -> Callable[[Callable[..., Any]], RemoteFunction]: ...


def remote(
    function: Callable[..., Any] | None = None,
    /,
    *,
    image: str = "",
    engine: str = "",
    modules: bool = True,
    client: Client | None = None,
    **options: Unpack[JobKeywords],
) -> RemoteFunction | Callable[[Callable[..., Any]], RemoteFunction]:
    """Turn a function into one whose calls are jobs: ``@remote``, or ``@remote(image=…, memory="4gb")``.

    Parameters
    ----------
    image
        Image to run in; its Python has this one's minor version. By default the function runs in this Python's own
        environment where the node is on this machine, else in ``python:X.Y``.
    engine
        ``docker`` or ``process``.
    modules
        Whether modules beside the caller travel that the call imports or refers to.
    client
        The cluster; by default the one that a cell would use.
    **options
        The fields of `JobOptions`: ``cpu``, ``memory``, ``gpu``, ``inputs``, ``timeout``, ….
    """
    place = Place(image, engine, JobOptions(**options), modules)

    def decorated(decorated_function: Callable[..., Any]) -> RemoteFunction:
        return RemoteFunction(decorated_function, place, (lambda: client) if client else usual_client)

    return decorated if function is None else decorated(function)


_clients: dict[tuple[str, ...], Client] = {}
_making = threading.Lock()
"""Calls that are awaited together are submitted by threads."""


def usual_client() -> Client:
    """Return this program's client of the cluster that is chosen now."""
    key = cluster_choice()
    with _making:
        if key not in _clients:
            _clients[key] = Client()
        return _clients[key]


def _label(item: Any, number: int) -> str:
    return repr(item) if isinstance(item, _PLAIN) and len(repr(item)) <= 40 else f"item {number}"


async def _stopped(submitting: asyncio.Future[Job]) -> None:
    """Stop the job of a call that nobody waits for any more, unless the kernel ends."""
    with suppress(BacalhauError):
        job = await submitting
        if not await asyncio.to_thread(kernel_ends, own_shell()):
            await asyncio.to_thread(job.stop, _INTERRUPTED)
