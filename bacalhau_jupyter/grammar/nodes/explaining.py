"""``explain``: what the nodes of the cluster mean for a job."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.printing import namespace_option, print_options
from bacalhau_jupyter.grammar.jobs.group import job
from bacalhau_jupyter.grammar.output import Result
from bacalhau_jupyter.grammar.root import bacalhau, client, job_or_last
from bacalhau_jupyter.grammar.views import explanation_record


@bacalhau.command()
@click.argument("job_id", required=False, shell_complete=completing.jobs)
@namespace_option
@print_options
def explain(job_id: str | None, namespace: str, **show: Any) -> Result:
    """Show why a job waits and what would make it run, or why it ran where it did.

    Without JOB_ID: the last job that was submitted from here (a notebook, else a directory).
    """
    connected = client()
    handle = connected.job(job_or_last(connected, job_id, "explain"), namespace=namespace)
    return explanation_record(handle.explain(), wide=show["wide"])


job.add_command(explain)
