"""Runs a sweep: the jobs of its combinations, one row of counts, and their values together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, overload

import click

from bacalhau_jupyter.client.jobs.interrupts import kernel_ends, own_shell
from bacalhau_jupyter.client.jobs.job import Job as ClientJob
from bacalhau_jupyter.client.jobs.many import GROUP, Many, ManyFailed, Member, Submits, group_label
from bacalhau_jupyter.client.jobs.standing import View, find_view
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.client.tables.parameters import as_frame, is_frame, merged, rows
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.notebook.errors import CellInterrupted
from bacalhau_jupyter.notebook.kit import has_runner
from bacalhau_jupyter.notebook.sweeps.caching import CellCache
from bacalhau_jupyter.notebook.sweeps.consent import asker, check_size
from bacalhau_jupyter.notebook.sweeps.parameters import Combination, spanned

_STOPPED = "interrupted in the notebook"
WHAT = "combinations"
"""What the jobs of a sweep are called."""


def jobs_of(model: Job, chosen: Sequence[Combination], *, is_python: bool) -> list[Member]:
    """Return the jobs of a sweep: one model, each with its own parameters."""
    group = group_label()
    members: list[Member] = []
    for combination in chosen:
        environment = combination.environment(is_python=is_python)
        tasks = [replace(task, env={**task.env, **environment}) for task in model.tasks]
        name = model.name and f"{model.name}-{len(members) + 1}"
        job = replace(model, name=name, labels={**model.labels, **group}, tasks=tasks)
        members.append(Member(combination.label, job))
    return members


class SweepResult(Sequence[JobResult]):
    """The results of a sweep, in the order of its combinations.

    Parameters
    ----------
    members
        The jobs.
    chosen
        Their parameters.
    """

    def __init__(self, members: Sequence[Member], chosen: Sequence[Combination]) -> None:
        self.members = list(members)
        self.parameters = [each.parameters for each in chosen]

    @property
    def results(self) -> list[JobResult]:
        """The results of the jobs that have one."""
        return [member.result for member in self.members if member.result is not None]

    @overload
    def __getitem__(self, index: int) -> JobResult: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[JobResult]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[JobResult]:
        return iter(self.results)

    def df(self, pattern: str | None = None, **options: Any) -> Any:
        """Return the tables of all jobs as one frame, the parameters first; see `JobResult.df`."""
        return as_frame([result.df(pattern, **options) for result in self.results], self.parameters)

    def __repr__(self) -> str:
        return f"<SweepResult of {len(self.members)} jobs>"


class Sweep:
    """The jobs of a sweep.

    Parameters
    ----------
    client
        The cluster.
    model
        The job, whose inputs have travelled.
    chosen
        The combinations.
    cache
        Finished jobs that answer for equal ones.
    view
        Shows how the jobs stand; without one it is found out.
    """

    def __init__(
        self,
        client: Submits,
        model: Job,
        chosen: Sequence[Combination],
        cache: CellCache,
        view: View | None = None,
    ) -> None:
        self._view = view or find_view()
        self._chosen = list(chosen)
        self._cache = cache
        # Python and SQL read the values themselves, with their types.
        self.members = jobs_of(model, chosen, is_python=has_runner(model))
        self._many = Many(client, self.members, WHAT)

    def submitted(self, *, id_only: bool) -> list[ClientJob] | None:
        """Submit all jobs; return them, or print their IDs.

        Raises
        ------
        ManyFailed
            Some were refused.
        """
        with self._cached():
            self._many.submit_all()
        jobs = [member.job for member in self.members if member.job is not None]
        if id_only:
            click.echo("\n".join(job.id for job in jobs))
        else:
            self._view.finish(self._many.standings())
        self._many.raise_for_failures()
        return None if id_only else jobs

    def follow(self, *, check: bool, on_interrupt: str | None) -> None:
        """Run all jobs to their ends.

        Raises
        ------
        CellInterrupted
            The person interrupted; all jobs were stopped (or left running, as ``on_interrupt`` says).
        """
        try:
            with self._cached():
                self._many.run(view=self._view, check=check)
        except KeyboardInterrupt:
            message = self._ended(on_interrupt)
            self._view.finish(self._many.standings())
            raise CellInterrupted(message) from None

    @contextmanager
    def _cached(self) -> Iterator[None]:
        """Let finished jobs answer; note those that were submitted besides."""
        keys = self._cache.fill(self.members)
        ran_before = [member.job is not None for member in self.members]
        yield
        for member, key, is_cached in zip(self.members, keys, ran_before, strict=True):
            if member.job is not None and not is_cached:
                self._cache.note(key, member.job, is_named=bool(member.model.name))

    def _ended(self, on_interrupt: str | None) -> str:
        label = self.members[0].model.labels[GROUP]
        again = f"%bacalhau job list --labels {GROUP}={label} shows them"
        if on_interrupt == "detach":
            return f"the jobs that were submitted continue; {again}"
        try:
            if kernel_ends(own_shell()):
                return f"the kernel ends, the jobs that were submitted continue; {again}"
            self._many.stop(_STOPPED)
        except KeyboardInterrupt:
            return f"detached while the jobs are being stopped; {again}"
        except BacalhauError as error:
            return f"jobs of the sweep may still run ({error.message}); {again}"
        return f"stopped: {self._many.text()}; {again}"

    def values(self, names: Sequence[str], read: Callable[[JobResult], Mapping[str, Any]]) -> dict[str, Any]:
        """Return the values of ``--out`` of the jobs that succeeded: a frame where they are frames, else dicts.

        Parameters
        ----------
        names
            The names of ``--out``.
        read
            Returns a result's values by name.
        """
        done = [
            (read(member.result), combination.parameters)
            for member, combination in zip(self.members, self._chosen, strict=True)
            if member.result is not None and member.error is None
        ]
        joined: dict[str, Any] = {}
        for name in names:
            column = [values[name] for values, _ in done]
            parameters = [each for _, each in done]
            has_frames = bool(column) and all(is_frame(each) for each in column)
            joined[name] = merged(column, parameters) if has_frames else rows(column, parameters, name)
        return joined

    def result(self, names: Sequence[str]) -> SweepResult:
        """Return the results of all jobs.

        Raises
        ------
        ManyFailed
            Jobs did not end well; all of them are named.
        """
        try:
            self._many.raise_for_failures()
        except ManyFailed as failure:
            if names:
                hints = [f"{', '.join(names)} holds what the others brought back", failure.hint]
                failure.hint = "; ".join(filter(None, hints))
            raise
        return SweepResult(self.members, self._chosen)


def chosen(values: Mapping[str, Any], shell: Any) -> list[Combination]:
    """Return the combinations of a cell's ``--sweep`` flags, after a question where there are many.

    Raises
    ------
    BadRequest
        The flags can't be read, or the sweep is too large.
    """
    taken = {*values["ins"], *values["outs"], *(text.partition("=")[0] for text in values["env"])}
    space = spanned(values["sweeps"], taken=taken)
    if values["dry_run"]:
        return [space.first()]
    check_size(space.count, values["sweep_limit"], asker(shell))
    return list(space)
