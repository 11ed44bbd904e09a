"""What a cluster can't do that a node of ours can, and the nearest way that works there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from bacalhau_jupyter.models.errors import NotImplementedHere
from bacalhau_jupyter.models.records.environments import FEATURE as PYTHON_ENVIRONMENTS
from bacalhau_jupyter.models.records.explanation import FEATURE as EXPLAIN
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.models.records.uploads import FEATURE as UPLOADS

COMPONENT = "Client"

EVENTS, DELETE, BROWSE, CLEAN_UP, RESULT_FILES = (
    "events",
    "delete-jobs",
    "browse-data",
    "clean-up",
    "result-files",
)
PROCESS = "process"
"""The engine that runs programs of the node's own machine."""


@dataclass(frozen=True)
class Lack:
    """One thing that a cluster can't do.

    Attributes
    ----------
    what
        What it can't do: the rest of a sentence that begins with "this cluster".
    instead
        The nearest way that works there.
    is_missing
        Whether a cluster that says this of itself lacks it.
    """

    what: str
    instead: str
    is_missing: Callable[[NodeInfo], bool]


def _feature(name: str) -> Callable[[NodeInfo], bool]:
    return lambda info: name not in info.features


def engines_of(nodes: Iterable[NodeInfo]) -> frozenset[str]:
    """Return the engines that nodes name, in lower case."""
    return frozenset(
        name.lower() for info in nodes for name in info.compute_node_info.execution_engines or []
    )


def is_official(info: NodeInfo) -> bool:
    """Whether a cluster runs official Bacalhau; one that tells nothing of itself counts as that."""
    return not info.jupyter_version


_NO_PROCESS = Lack(
    "runs nothing outside containers",
    "cells run in an image (--image IMAGE, else python:X.Y or debian)",
    lambda info: True,
)
_LACKS: dict[str, Lack] = {
    UPLOADS: Lack(
        "takes no uploads",
        "up to 700 kB travel inside a job; put more where the nodes can read it (s3://, ipfs://, https://)",
        _feature(UPLOADS),
    ),
    EVENTS: Lack(
        "sends no events",
        "cells and panel ask for the state of a job, and learn of a change a little later",
        _feature(EVENTS),
    ),
    RESULT_FILES: Lack(
        "gives out no single files of results", "a result is downloaded as a whole", _feature(RESULT_FILES)
    ),
    EXPLAIN: Lack(
        "does not explain jobs", "%bacalhau job describe JOB shows the official text", _feature(EXPLAIN)
    ),
    DELETE: Lack("deletes no jobs", "%bacalhau job stop JOB ends one; its record stays", _feature(DELETE)),
    BROWSE: Lack(
        "does not list its data", "type addresses in full (s3://bucket/key, file:///path)", _feature(BROWSE)
    ),
    CLEAN_UP: Lack(
        "is not cleaned up from here", "its administrator removes old results on the node", _feature(CLEAN_UP)
    ),
    PYTHON_ENVIRONMENTS: Lack(
        "has no Python environments of this machine",
        "--pip NAME installs packages inside the job, or --image IMAGE has them",
        _feature(PYTHON_ENVIRONMENTS),
    ),
}


def lacks_of(info: NodeInfo, engines: Collection[str]) -> list[Lack]:
    """Return all that a cluster can't do.

    Parameters
    ----------
    info
        The node that answers.
    engines
        Those of all nodes; empty where they are not known.
    """
    lacks = [lack for lack in _LACKS.values() if lack.is_missing(info)]
    return lacks if not engines or PROCESS in engines else [_NO_PROCESS, *lacks]


def require(info: NodeInfo, name: str) -> None:
    """Refuse what a cluster can't do.

    Raises
    ------
    NotImplementedHere
        It lacks ``name``; the hint says what works instead.
    """
    lack = _LACKS[name]
    if lack.is_missing(info):
        raise NotImplementedHere(
            f"this cluster {lack.what}", hint=_sentence(lack.instead), component=COMPONENT
        )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text[:1].isalpha() else text
