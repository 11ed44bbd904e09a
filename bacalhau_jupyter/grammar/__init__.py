"""The command grammar: the official verbs and flags, used by the shell and by ``%bacalhau``.

Commands return `Table`, `Details`, `Text` or what the session returns for a finished job; the front end shows it.
"""

from __future__ import annotations

# Each of these modules adds its verbs to the root when it is imported.
from bacalhau_jupyter.grammar import (
    access,
    cluster,
    configuration,
    engines,
    hosts,
    images,
    jobs,
    nodes,
    notebooks,
)
from bacalhau_jupyter.grammar.root import Group, bacalhau
from bacalhau_jupyter.grammar.specs import described, read_spec, spec_of
from bacalhau_jupyter.grammar.submitting import submit

__all__ = [
    "Group",
    "access",
    "bacalhau",
    "cluster",
    "configuration",
    "described",
    "engines",
    "hosts",
    "images",
    "jobs",
    "nodes",
    "notebooks",
    "read_spec",
    "spec_of",
    "submit",
]
