"""What keeps modules from running, as far as they are known here: nodes would find it out later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bacalhau_jupyter.client.wasm.modules import Placed, is_within, same_place
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.webassembly.module import HOST_MODULES, WASI, Module

_LISTED = 5
"""Names that a problem lists."""


@dataclass(frozen=True)
class Problem:
    """A sentence, and what to do."""

    text: str
    hint: str = ""


def problems(
    entry: Placed, imported: Sequence[Placed], targets: Sequence[str], entry_point: str
) -> list[Problem]:
    """Return what keeps a job's modules from running.

    Parameters
    ----------
    entry, imported
        The modules.
    targets
        Where the other inputs of the job lie: nobody here knows what is in them.
    entry_point
        The function that is called.
    """
    listed = []
    if entry.module is not None and (problem := entry.module.entry_problem(entry_point)):
        listed.append(Problem(f"{entry.what} can't be started: {problem}", entry.module.entry_hint()))
    for each in (entry, *imported):
        if each.module is not None:
            listed += _unresolved(each, each.module, imported, targets)
    return listed


def refuse(listed: Sequence[Problem]) -> None:
    """Raise what was found as one error.

    Raises
    ------
    BadRequest
        Something was found.
    """
    if listed:
        raise BadRequest(
            "; ".join(each.text for each in listed),
            hint=next((each.hint for each in listed if each.hint), ""),
        )


def provider(name: str, imported: Sequence[Placed]) -> Placed | None:
    """Return the module that lies where an imported module is looked for."""
    return next((each for each in imported if same_place(each.target, name)), None)


def _unresolved(
    user: Placed, module: Module, imported: Sequence[Placed], targets: Sequence[str]
) -> Iterator[Problem]:
    for name in dict.fromkeys(item.module for item in module.imports):
        if name in HOST_MODULES:
            continue
        names = [item.name for item in module.imports if item.module == name]
        library = provider(name, imported)
        if library is None:
            if not is_within(name, targets):
                text = f"{user.what} imports {_joined(names)} of {shown(name)!r}, which nothing provides"
                yield Problem(text, _hint(name))
        elif library.module is not None:
            offered = {item.name for item in library.module.exports}
            missing = [each for each in names if each not in offered]
            if missing:
                yield Problem(
                    f"{user.what} imports {_joined(missing)} of {shown(name)!r}, "
                    f"and {library.what} exports no such thing"
                )


def _hint(name: str) -> str:
    if name.startswith("wasi_"):
        return f"nodes provide {WASI}: build the program for wasm32-wasip1"
    return f"-I FILE.wasm:{shown(name)} brings a module under that name"


def _joined(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:_LISTED])) + (", …" if len(names) > _LISTED else "")
