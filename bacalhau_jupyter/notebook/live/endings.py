"""What becomes of a job whose cell is interrupted: a person stops it, the end of a kernel does not.

A job is stopped a moment after the signal, unless the kernel turns out to end (`client.jobs.interrupts`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.client.jobs.interrupts import GRACE_S, kernel_ends
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import JobStateType

if TYPE_CHECKING:
    from bacalhau_jupyter.client.jobs.job import Job
    from bacalhau_jupyter.notebook.live.card import Status


class Ending:
    """Ends what an interrupted cell waited for.

    Parameters
    ----------
    shell
        The shell; a kernel's says whether the kernel is being shut down.
    grace_s
        Seconds that a kernel waits for that.
    """

    def __init__(self, shell: Any, grace_s: float = GRACE_S) -> None:
        self._shell = shell
        self._grace_s = grace_s

    def of(self, job: Job, on_interrupt: str | None, status: Status | None = None) -> str:
        """Stop an interrupted job, or leave it; return what became of it, and how to see it again.

        Parameters
        ----------
        job
            The job.
        on_interrupt
            ``stop`` or ``detach``; None: stop, unless the job runs until somebody stops it.
        status
            Is told the job's state.
        """
        again = f"%bacalhau attach {job.short_id}"
        if on_interrupt == "detach":
            return f"job {job.short_id} continues; {again} shows it"
        asked = False
        try:
            if on_interrupt is None and job.describe().is_long_running:
                return (
                    f"job {job.short_id} continues, as it runs until it is stopped; {again} shows it, "
                    f"%bacalhau job stop {job.short_id} ends it"
                )
            if self._kernel_ends():
                return f"the kernel ends, job {job.short_id} continues; {again} shows it"
            asked = True
            job.stop("interrupted in the notebook")
            state = job.state
        except KeyboardInterrupt:
            if asked:
                return f"detached while job {job.short_id} is being stopped; {again} shows its outcome"
            return f"detached, job {job.short_id} continues; {again} shows it"
        except BacalhauError as error:
            return f"job {job.short_id} may still run ({error.message}); {again} shows it"
        if status is not None:
            status.state, status.phase = state.value, state.value.lower()
        if state is JobStateType.STOPPED:
            return f"job {job.short_id} is stopped; {again} shows what it did"
        return f"job {job.short_id} was over already ({state.value}); {again} shows it"

    def _kernel_ends(self) -> bool:
        return kernel_ends(self._shell, self._grace_s)
