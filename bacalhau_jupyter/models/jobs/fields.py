"""Fields of a written spec that no model has: each with its path, and what was probably meant.

The wire stays lenient (`models.codec`): a newer peer may send more. A person who types a spec must hear of a field
that would be dropped: it is a mistake, and the job would do something else than the spec says.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.codec import convert, members_of, unknown_members
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import Task
from bacalhau_jupyter.models.text import readable

REPORTED = 20
"""Unknown fields that are named at most."""

_KEY_LENGTH = 80
_OWN_PREFIX = "x-"
"""Fields that begin so are the author's own (YAML anchors stand there), as in Compose files."""

_MODERN = {
    "timeout": "Timeouts with TotalTimeout or ExecutionTimeout, in seconds",
    "spec": "Tasks: the members of Spec belong to a task",
    "enginespec": "Engine",
    "publisherspec": "Publisher",
    "annotations": "Labels",
    "nodeselectors": "Constraints",
    "nodeselector": "Constraints",
    "deal": "Count",
    "concurrency": "Count",
    "inputs": "InputSources",
    "inputvolumes": "InputSources",
    "outputs": "ResultPaths",
    "outputvolumes": "ResultPaths",
    "storagesource": "Source with Type and Params",
    "docker": "Engine with Type docker and Params",
    "wasm": "Engine with Type wasm and Params",
}
"""Names of older documents → today's form."""


@dataclass(frozen=True)
class UnknownField:
    """A field that is dropped.

    Attributes
    ----------
    path
        Where it stands: ``Tasks[0].InputSource``.
    meant
        What was probably meant; empty if nothing is near.
    """

    path: str
    meant: str = ""

    def __str__(self) -> str:
        hint = f"; did you mean {self.meant}?" if self.meant else ""
        return f"{self.path}: unknown field{hint}"


def unknown_fields(plain: object) -> list[UnknownField]:
    """Return the fields of a job spec (plain data) that no model has.

    Names count without regard to case. Maps whose keys the author chooses (Meta, Labels, Env) are not judged, nor are
    the parameters of engines, sources and publishers: they travel verbatim, and a plug-in has its own.
    """
    return [
        _described(path, key, names)
        for path, key, names in unknown_members(plain, Job)
        if not key.lower().startswith(_OWN_PREFIX)
    ]


def warnings_of(fields: Iterable[UnknownField]) -> list[str]:
    """Return a warning for each field, and one for those that are too many to name."""
    fields = list(fields)
    further = len(fields) - REPORTED
    named = [f"{field} (it is ignored)" for field in fields[:REPORTED]]
    return [*named, f"{further} further unknown fields are ignored"] if further > 0 else named


def written_job(plain: Mapping[str, Any], what: str) -> Job:
    """Turn a spec that a person wrote into a job: what `convert` does, but unknown fields are refused.

    A spec may stand in an envelope, as ``job describe`` prints it (``Job: …``); what else is there is not judged.

    Raises
    ------
    BadRequest
        A field is unknown, or a member has the wrong type; its path is named.
    """
    inner = folded(plain).get("job")
    spec = dict(inner if isinstance(inner, Mapping) else plain)
    # A wrong type comes first: below it nothing has a meaning.
    job = convert(spec, Job, what)
    fields = unknown_fields(spec)
    if fields:
        first, *others = fields
        more = [str(field) for field in others[: REPORTED - 1]]
        if len(others) > len(more):
            more.append(f"and {len(others) - len(more)} further unknown fields")
        raise BadRequest("\n".join([f"{what}: {first}", *more]), component="Codec")
    return job


def _described(path: str, key: str, names: Iterable[str]) -> UnknownField:
    place = f"{path}." if path else ""
    meant = _MODERN.get(key.lower()) or _nearest(key, names)
    if not meant and set(names) == {"Type", "Params"}:
        meant = f"Params.{_shown(key)}"
    if not meant and not path and key.lower() in {name.lower() for name in members_of(Task)}:
        meant = f"Tasks[0].{_nearest(key, members_of(Task))}"
    return UnknownField(f"{place}{_shown(key)}", meant)


def _nearest(key: str, names: Iterable[str]) -> str:
    by_fold = {name.lower(): name for name in names}
    near = difflib.get_close_matches(key.lower()[:_KEY_LENGTH], by_fold, 1)
    return by_fold[near[0]] if near else ""


def _shown(key: str) -> str:
    text = readable(key)
    return text if len(text) <= _KEY_LENGTH else f"{text[:_KEY_LENGTH]}…"
