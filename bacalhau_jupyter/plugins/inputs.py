"""The inputs of an execution at the moment of starting it: the objects that were checked, or none.

An input that was not checked yet (`InputMount.checked` is None) is checked here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import replace

from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.models.errors import EngineError, IOFailure
from bacalhau_jupyter.plugins.contract import InputMount


def open_input(mount: InputMount, component: str, flags: int = beneath.O_PATH) -> int:
    """Open an input without following a link; return the descriptor.

    Parameters
    ----------
    component
        Component named in the error.

    Raises
    ------
    EngineError
        Something else lies at its path than what was checked.
    IOFailure
        It can't be opened.
    """
    try:
        if mount.checked is None:
            return beneath.open_path(mount.path, flags)
        return beneath.open_checked(mount.path, mount.checked, flags)
    except beneath.Changed as error:
        raise changed(mount, component) from error
    except OSError as error:
        raise IOFailure(
            f"the input {mount.target} can't be opened: {mount.path}: {error.strerror}",
            component=component,
            fails_execution=True,
        ) from error


def check_inputs(inputs: Sequence[InputMount], component: str, *, sockets: bool = True) -> list[InputMount]:
    """Return inputs that say which objects they are, after making sure that those are still at their paths.

    Parameters
    ----------
    sockets
        Whether an input may be a socket.

    Raises
    ------
    EngineError, IOFailure
        As for `open_input`; an input is a socket and may not be.
    """
    checked = []
    for mount in inputs:
        opened = open_input(mount, component)
        try:
            checked.append(replace(mount, checked=beneath.file_id(opened)))
            is_socket = stat.S_ISSOCK(os.fstat(opened).st_mode)
        finally:
            os.close(opened)
        if is_socket and not sockets:
            raise EngineError(
                f"the input {mount.target} is not mounted: {mount.path} is a socket, and jobs get none",
                component=component,
                fails_execution=True,
            )
    return checked


def changed(mount: InputMount, component: str) -> EngineError:
    """Return the error of an input in whose place something else lies."""
    return EngineError(
        f"the input {mount.target} is not mounted: something else lies at {mount.path} now than what was checked",
        hint="it was renamed or replaced while the job was waiting: submit the job again",
        component=component,
        fails_execution=True,
    )
