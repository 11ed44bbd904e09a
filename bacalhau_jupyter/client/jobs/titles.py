"""What a job is called in lists: the cell it comes from (``quickstart.ipynb [3]``), else its first line of code.

A name is the person's own and unique in its namespace; a title stands beside it, in the job's metadata.
"""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Any

from bacalhau_jupyter.client.jobs.interrupts import own_shell
from bacalhau_jupyter.models.jobs.job import META_TITLE, Job
from bacalhau_jupyter.models.jobs.spec import replace

TITLE = META_TITLE
"""Meta key of the title."""

_LONGEST = 80


def with_title(job: Job, shell: Any, text: str) -> Job:
    """Return the job with its title; unchanged where there is nothing to say.

    Parameters
    ----------
    job
        The job.
    shell
        IPython's shell, which counts the cells; None in a script.
    text
        What the job is called where it comes from no notebook: only the first line counts.
    """
    # Since 9.18 IPython raises `execution_count` before the cell runs; the number beside the cell is this one.
    count = getattr(getattr(shell, "displayhook", None), "prompt_count", None)
    title = title_of(os.environ.get("JPY_SESSION_NAME", ""), count, text)
    return replace(job, meta={**job.meta, TITLE: title}) if title else job


def titled(job: Job, text: str = "") -> Job:
    """Return the job with a title, unless it has a name or a title; outside of IPython only ``text`` gives it one.

    Parameters
    ----------
    job
        The job.
    text
        See `with_title`; default: the command that the job runs.
    """
    shell = own_shell()
    if job.name or job.meta.get(TITLE) or (shell is None and not text):
        return job
    return with_title(job, shell, text or command_of(job))


def shown_title(job: Job) -> str:
    """Return what a person calls a job: its name, else its title; empty without both."""
    return job.name if job.name and job.name != job.id else job.meta.get(TITLE, "")


def title_of(notebook: str, execution_count: object, text: str) -> str:
    """Return ``quickstart.ipynb [3]``, else the first line of code.

    Parameters
    ----------
    notebook
        Path of the notebook; only its last part is shown, because others may read it.
    execution_count
        The number beside the cell.
    text
        The cell's text below the magic, or a command.
    """
    name = PurePath(notebook.replace("\\", "/")).name
    if name.endswith(".ipynb") and name.isprintable() and isinstance(execution_count, int):
        return f"{name} [{execution_count}]"
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#!")]
    # Imports are the same in most cells.
    telling = (line for line in lines if not line.startswith(("import ", "from ")))
    first = next(telling, lines[0] if lines else "")
    return "".join(character for character in first if character.isprintable())[:_LONGEST]


def command_of(job: Job) -> str:
    """Return the program that a job runs, as text; empty where it only runs a file that travels along."""
    params = job.tasks[0].engine.params if job.tasks else {}
    words = [
        word
        for name in ("Command", "Entrypoint", "Parameters")
        if isinstance(params.get(name), list)
        for word in params[name]
        if isinstance(word, str)
    ]
    if any(".bacalhau/" in word for word in words):
        return ""
    if "-c" in words[:-1]:
        return words[words.index("-c") + 1]
    module, image = params.get("EntryModule"), params.get("Image")
    if isinstance(module, str) and ".bacalhau/" not in module:
        # It lies at the same place in most jobs: its own name tells more.
        words.insert(0, _name_of(job, module))
    return " ".join(words) or (image if isinstance(image, str) else "")


def _name_of(job: Job, target: str) -> str:
    """Return what the input at a target was called where it came from; without a name the target."""
    alias = next((item.alias for item in job.tasks[0].input_sources if item.target == target), "")
    return PurePath(alias).name or target
