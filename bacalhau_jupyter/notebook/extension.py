"""``%load_ext bacalhau_jupyter``: registers names only; the rest is imported when the first magic is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from bacalhau_jupyter.notebook.magics import BacalhauMagics

_NAME = "bacalhau"


class Extension:
    """The extension in one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._magics: BacalhauMagics | None = None

    def magics(self) -> BacalhauMagics:
        """Return the magics, imported on first use."""
        if self._magics is None:
            from bacalhau_jupyter.notebook.magics import BacalhauMagics

            self._magics = BacalhauMagics(self._shell)
        return self._magics

    def close(self) -> None:
        """Close the connections."""
        if self._magics is not None:
            self._magics.session.close()


_loaded: WeakKeyDictionary[InteractiveShell, Extension] = WeakKeyDictionary()
_completed: WeakSet[InteractiveShell] = WeakSet()


def load(shell: InteractiveShell) -> None:
    """Register the magics, completion and rich output."""
    unload(shell)
    extension = _loaded[shell] = Extension(shell)
    shell.magics_manager.register_function(_magic(extension), magic_kind="line_cell", magic_name=_NAME)
    # IPython can't take a completer back: it is set once per shell, and asks whichever extension is loaded.
    for name in () if shell in _completed else (f"%{_NAME}", f"%%{_NAME}"):
        shell.set_hook("complete_command", _completer(name), str_key=name)  # type: ignore[no-untyped-call]
    _completed.add(shell)
    if shell.display_formatter is not None:
        bundles = shell.display_formatter.mimebundle_formatter
        bundles.for_type_by_name("bacalhau_jupyter.client.jobs.job", "Job", _job_bundle)
        bundles.for_type_by_name("bacalhau_jupyter.client.results.result", "JobResult", _result_bundle)
    shell.input_transformers_cleanup.append(give_body)


def unload(shell: InteractiveShell) -> None:
    """Close the connections and remove the magics."""
    extension = _loaded.pop(shell, None)
    if extension is not None:
        extension.close()
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(_NAME, None)
    if give_body in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.remove(give_body)


def give_body(lines: list[str]) -> list[str]:
    """Let a ``%%bacalhau`` cell have no body: IPython itself would refuse ``%%bacalhau docker IMAGE -- cmd``."""
    if lines and lines[0].split()[:1] == [f"%%{_NAME}"] and not "".join(lines[1:]).strip():
        return [lines[0].rstrip("\n") + "\n", " \n"]
    return lines


def _magic(extension: Extension) -> Callable[..., Any]:
    from IPython.core.magic import no_var_expand

    # Braces and dollars belong to the body; IPython must not fill them in.
    @no_var_expand
    def bacalhau(line: str, cell: str | None = None) -> Any:
        """Run a Bacalhau verb (``%bacalhau job list``) or the cell's body as a job (``%%bacalhau python``).

        ``%bacalhau --help`` lists the verbs, ``%%bacalhau --help`` the languages.
        """
        return extension.magics().run(line, cell)

    return bacalhau


def _completer(name: str) -> Callable[[Any, Any], list[str]]:
    def hook(shell: Any, event: Any) -> list[str]:
        from bacalhau_jupyter.notebook.completion import complete_line

        extension = _loaded.get(shell)
        return complete_line(name, str(event.line), extension.magics().session) if extension else []

    return hook


def _job_bundle(job: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    from bacalhau_jupyter.notebook.reprs import job_bundle

    return job_bundle(job, include, exclude)


def _result_bundle(result: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    from bacalhau_jupyter.notebook.reprs import result_bundle

    return result_bundle(result, include, exclude)
