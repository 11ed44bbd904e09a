"""``%load_ext bacalhau_jupyter``: registers names only; the rest is imported when the first magic is used."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from bacalhau_jupyter.config.choice.children import Children
from bacalhau_jupyter.notebook.completer import Completer

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from bacalhau_jupyter.notebook.magics import BacalhauMagics

_NAME = "bacalhau"
_QUESTION = re.compile(r"(%%?bacalhau)((?:\s+[a-z][a-z-]*)+)\s*\?")


class Extension:
    """The extension in one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._magics: BacalhauMagics | None = None
        self._children = Children()
        shell.events.register("pre_run_cell", self._children.look)
        self._completer = Completer(shell, lambda: self.magics().session)

    def magics(self) -> BacalhauMagics:
        """Return the magics, imported on first use."""
        if self._magics is None:
            from bacalhau_jupyter.notebook.magics import BacalhauMagics

            self._magics = BacalhauMagics(self._shell, self._children)
        return self._magics

    def run(self, line: str, cell: str | None) -> Any:
        """Run a line's verb, or a cell's body as a job."""
        card = None
        if cell is not None and self._magics is None:
            from bacalhau_jupyter.notebook.live.early import early_card

            card = early_card(self._shell, line)
        return self.magics().run(line, cell, card)

    def close(self) -> None:
        """Close the connections, and leave the shell's completer as it was."""
        self._completer.close()
        self._shell.events.unregister("pre_run_cell", self._children.look)
        if self._magics is not None:
            self._magics.session.close()


_loaded: WeakKeyDictionary[InteractiveShell, Extension] = WeakKeyDictionary()


def load(shell: InteractiveShell) -> None:
    """Register the magics, completion and rich output."""
    unload(shell)
    extension = _loaded[shell] = Extension(shell)
    for kind, has_body in (("line", False), ("cell", True)):
        function = _magic(extension, has_body=has_body)
        shell.magics_manager.register_function(function, magic_kind=kind, magic_name=_NAME)
    if shell.display_formatter is not None:
        bundles = shell.display_formatter.mimebundle_formatter
        bundles.for_type_by_name("bacalhau_jupyter.client.jobs.job", "Job", _job_bundle)
        bundles.for_type_by_name("bacalhau_jupyter.client.results.result", "JobResult", _result_bundle)
    show_calls()
    shell.input_transformers_cleanup.append(give_body)
    shell.input_transformers_cleanup.append(ask_help)


def show_calls() -> None:
    """Let remote calls show in a cell what their jobs display."""
    from bacalhau_jupyter.client.remote.showing import show_with
    from bacalhau_jupyter.notebook.remote_calls import show_call

    show_with(show_call)


def unload(shell: InteractiveShell) -> None:
    """Close the connections and remove the magics."""
    extension = _loaded.pop(shell, None)
    if extension is not None:
        extension.close()
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(_NAME, None)
    for transformer in (give_body, ask_help):
        if transformer in shell.input_transformers_cleanup:
            shell.input_transformers_cleanup.remove(transformer)


def running_magics() -> BacalhauMagics:
    """Return the magics of the running shell, loaded or not.

    Raises
    ------
    BadRequest
        No shell is running.
    """
    from IPython.core.getipython import get_ipython

    from bacalhau_jupyter.models.errors import BadRequest

    shell = get_ipython()
    if shell is None:
        raise BadRequest("the form needs a notebook", hint="in Python, docker(…) and process(…) build jobs")
    if shell not in _loaded:
        load(shell)
    return _loaded[shell].magics()


def give_body(lines: list[str]) -> list[str]:
    """Let a ``%%bacalhau`` cell have no body: IPython itself would refuse ``%%bacalhau docker IMAGE -- cmd``."""
    if lines and lines[0].split()[:1] == [f"%%{_NAME}"] and not "".join(lines[1:]).strip():
        return [lines[0].rstrip("\n") + "\n", " \n"]
    return lines


def ask_help(lines: list[str]) -> list[str]:
    """Let ``%bacalhau job list?`` and ``%%bacalhau python?`` show help; IPython looks for a variable."""
    asked = _QUESTION.fullmatch("".join(lines).strip())
    if asked is None:
        return lines
    magic, words = asked[1], asked[2].strip()
    return [f"{magic} help {words}\n"] if magic == f"%{_NAME}" else [f"{magic} {words} --help\n", " \n"]


def _magic(extension: Extension, *, has_body: bool) -> Callable[..., Any]:
    from IPython.core.magic import no_var_expand

    # What IPython fills in becomes words and flags of its own; we fill in words (`notebook.filling`), and no body.
    @no_var_expand
    def bacalhau(line: str, cell: str | None = None) -> Any:
        """Run a Bacalhau verb (``%bacalhau job list``) or the cell's body as a job (``%%bacalhau python``)."""
        return extension.run(line, cell)

    # What `%bacalhau?` and `%%bacalhau?` show.
    bacalhau.getdoc = lambda: extension.magics().help(has_body=has_body)  # type: ignore[attr-defined]
    return bacalhau


def _job_bundle(job: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    from bacalhau_jupyter.notebook.reprs import job_bundle

    return job_bundle(job, include, exclude)


def _result_bundle(result: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    from bacalhau_jupyter.notebook.reprs import result_bundle

    return result_bundle(result, include, exclude)
