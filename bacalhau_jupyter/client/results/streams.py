"""What a job printed: in its record when it is short, else in its published files or the logs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from bacalhau_jupyter.client.results.sources import NoDownloader
from bacalhau_jupyter.models.errors import BacalhauError, NotFound
from bacalhau_jupyter.models.records.execution import Execution

STREAMS = ("stdout", "stderr")


def stream_text(
    name: str,
    executions: Sequence[Execution],
    *,
    published: Callable[[str], bytes],
    printed: Callable[[str], str],
) -> str:
    """Return all of one stream.

    Parameters
    ----------
    name
        ``stdout`` or ``stderr``.
    executions
        The job's executions, whose records hold the start of what they printed.
    published
        Reads a published file (of all executions).
    printed
        Reads a stream from the cluster's logs.
    """
    outputs = [item.run_output for item in executions if item.run_output is not None]
    cut = any(getattr(output, f"{name}_truncated") for output in outputs)
    if len(outputs) == 1 and not cut:
        return str(getattr(outputs[0], name))
    if any(not item.published_result.is_empty for item in executions):
        with contextlib.suppress(NotFound, NoDownloader):
            return published(name).decode(errors="replace")
    if cut:
        with contextlib.suppress(BacalhauError):
            return printed(name)
    return "".join(getattr(output, name) for output in outputs)
