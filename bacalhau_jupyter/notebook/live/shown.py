"""What a cell has shown of its job already, so that the cell's value does not show it again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from bacalhau_jupyter.client.results.result import JobResult

_SHOW = "_ipython_display_"
"""The method that IPython asks first; an object that has it is shown by nothing else."""


_displayed: WeakSet[JobResult] = WeakSet()
_table_names: WeakKeyDictionary[JobResult, str] = WeakKeyDictionary()


def note_displays(result: JobResult) -> None:
    """Note that a cell has shown displays of the job."""
    _displayed.add(result)


def take_displays(result: JobResult) -> bool:
    """Return, once, whether a cell has shown displays of the job: its files are then listed, not shown as well."""
    has_displays = result in _displayed
    _displayed.discard(result)
    return has_displays


def note_table_name(result: JobResult, name: str) -> None:
    """Note what the person calls the first table of a result."""
    _table_names[result] = name


def table_name_of(result: JobResult) -> str:
    """Return what the person calls the first table of a result; empty where nobody said."""
    return _table_names.get(result, "")


def hide_once(result: object) -> None:
    """Let the cell that returns the result show nothing; ``_`` and ``Out`` hold it, and later cells show it."""
    attributes = vars(result)
    attributes[_SHOW] = lambda: attributes.pop(_SHOW, None)
