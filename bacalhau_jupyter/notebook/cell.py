"""A ``%%bacalhau`` cell, as the person typed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bacalhau_jupyter.client.jobs.options import DEFAULT_OPTIONS, JobOptions
from bacalhau_jupyter.client.jobs.python_body import PYTHONS
from bacalhau_jupyter.models.webassembly.module import ENTRY_POINT


@dataclass(frozen=True)
class Cell:
    """What the person typed.

    Attributes
    ----------
    language
        ``sh``, ``bash``, ``python``, ``sql``, ``docker`` or ``wasm``.
    body
        The cell's text below the first line.
    image, command
        For ``docker``; an image also moves the other languages into a container, and ``wasm`` has arguments, too.
    engine
        ``docker``, ``process`` or ``wasm`` when asked for.
    variables
        Variables of ``--in``, by name.
    output_names
        Names of ``--out``.
    workdir
        Working directory inside the job.
    first_line
        Number of the body's first line, as the person sees it.
    module, entry_point, import_modules
        For ``wasm``: the module where the body is not one, the function to call, and modules that it imports.
    modules
        Modules beside the notebook that a Python body imports: relative path → content.
    options
        What shapes the job besides its engine.
    """

    language: str
    body: str
    image: str = ""
    command: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    engine: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    output_names: Sequence[str] = ()
    workdir: str = ""
    first_line: int = 1
    module: str = ""
    entry_point: str = ENTRY_POINT
    import_modules: Sequence[str] = ()
    modules: Mapping[str, bytes] = field(default_factory=dict)
    options: JobOptions = DEFAULT_OPTIONS

    @property
    def is_python(self) -> bool:
        """Whether Python runs the body: also that of ``docker IMAGE -- python``."""
        is_named = self.language == "docker" and [*self.command, ""][0] in PYTHONS
        return self.language == "python" or (is_named and not self.body.startswith("#!"))
