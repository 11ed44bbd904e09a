"""What a remote call prints and displays, in the cell that makes the call: as a cell's own job is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bacalhau_jupyter.client.jobs.job import Job


def show_call(job: Job) -> None:
    """Show a job until it is over: text, folded where it is long, and what a job may display."""
    from bacalhau_jupyter.client.jobs.watch import Output
    from bacalhau_jupyter.notebook.displays.pane import DisplayPane
    from bacalhau_jupyter.notebook.kit import has_runner
    from bacalhau_jupyter.notebook.live.pane import OutputPane

    pane = OutputPane(has_card=False)
    displays = DisplayPane(pane, pane.display, lambda: has_runner(job.describe()))
    try:
        for update in job.updates_or_idle():
            if isinstance(update, Output):
                displays.write(update)
            pane.tick()
            displays.tick()
    finally:
        displays.finish()
        pane.finish(job.id)
