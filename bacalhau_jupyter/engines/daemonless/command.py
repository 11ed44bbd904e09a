"""What is executed in an image: the words, the program they mean, the variables and the directory, as Docker has it."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bacalhau_jupyter.engines.daemonless import COMPONENT, entry
from bacalhau_jupyter.engines.daemonless.tree import NotFound, Tree
from bacalhau_jupyter.engines.docker.params import DockerParams
from bacalhau_jupyter.engines.images.contract import ImageConfig
from bacalhau_jupyter.engines.network.rules import has_way_out
from bacalhau_jupyter.engines.network.variables import with_proxy
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import RunRequest

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The variable of images that set none."""
_ELF, _SCRIPT = b"\x7fELF", b"#!"
_HEAD = 256
"""Bytes in which the kernel looks for the interpreter of a script."""
_SHOWN = 200
"""Characters of a word that errors repeat."""


@dataclass(frozen=True)
class Command:
    """What a task executes: the program's path and words, its variables, and where it starts."""

    path: str
    argv: Sequence[str]
    env: Mapping[str, str]
    directory: str


def words(config: ImageConfig, params: DockerParams) -> list[str]:
    """Return the words of the command.

    ``Parameters`` replace the image's ``CMD`` and keep its ``ENTRYPOINT``; ``Entrypoint`` replaces both.

    Raises
    ------
    EngineError
        There are none.
    """
    if params.entrypoint:
        command_words = [*params.entrypoint, *params.parameters]
    else:
        command_words = [*config.entrypoint, *(params.parameters or config.command)]
    if not command_words or not command_words[0]:
        raise _failed(
            "no command specified", "The image has neither ENTRYPOINT nor CMD: give Parameters or Entrypoint."
        )
    return command_words


def directory(config: ImageConfig, params: DockerParams) -> str:
    """Return the absolute path where the task starts.

    Raises
    ------
    EngineError
        It is not absolute.
    """
    start = params.working_directory or config.working_directory or "/"
    if not start.startswith("/"):
        raise _failed(f"the working directory '{start}' is invalid, it needs to be an absolute path")
    return posixpath.normpath(start).replace("//", "/")


def environment(
    config: ImageConfig, params: DockerParams, request: RunRequest, hostname: str, home: str
) -> dict[str, str]:
    """Return the variables: the image's, the job's over them, and those of its parameters over both."""
    variables = {"PATH": PATH, "HOSTNAME": hostname}
    variables |= _pairs(config.env)
    variables |= with_proxy(request.env) if has_way_out(request) else request.env
    variables |= _pairs(params.environment_variables)
    if not variables.get("HOME"):
        variables["HOME"] = home
    return variables


def resolve(
    argv: Sequence[str], env: Mapping[str, str], start: str, tree: Tree, inputs: Sequence[InputMount]
) -> str:
    """Return the path of the program that the first word means.

    Raises
    ------
    EngineError
        There is none, or it can't be executed; in the words that a Docker Engine has for it.
    """
    if entry.is_too_long(argv, env):
        raise _failed(f'failed to start container: exec: "{argv[0][:_SHOWN]}": argument list too long')
    name = argv[0]
    if "/" in name:
        path = posixpath.join(start, name)
        if problem := _problem(path, tree, inputs):
            raise _not_started(name, problem if problem == _DENIED else f"stat {name[:_SHOWN]}: {problem}")
        return path
    problem = ""
    for each in env.get("PATH", "").split(":"):
        path = posixpath.join(start, each, name)
        if not (problem := _problem(path, tree, inputs)):
            return path
    raise _not_started(name, _DENIED if problem == _DENIED else "executable file not found in $PATH")


_DENIED = "permission denied"
_MISSING = "no such file or directory"


def _problem(path: str, tree: Tree, inputs: Sequence[InputMount]) -> str:
    """Say why the program at a path can't be executed; empty where it can, or where only the kernel can say."""
    try:
        spot = tree.find(path)
    except NotFound as reason:
        return str(reason)
    for mount in inputs:
        target = mount.target.rstrip("/")
        if spot.path == target or spot.path.startswith(f"{target}/"):
            return _input_problem(mount, spot.path[len(target) :].lstrip("/"))
    if not spot.mode:
        return _MISSING
    if not stat.S_ISREG(spot.mode) or not spot.mode & 0o111:
        return _DENIED
    head = tree.read(spot.path, _HEAD)
    if head.startswith(_SCRIPT):
        interpreter = head[2:].split(b"\n")[0].split()[:1]
        if interpreter and interpreter[0].startswith(b"/"):
            place = interpreter[0].decode("utf-8", "surrogateescape")
            try:
                return "" if tree.find(place).mode else _MISSING
            except NotFound as reason:
                return str(reason)
    return ""


def _input_problem(mount: InputMount, rest: str) -> str:
    try:
        mode = (mount.path / rest).lstat().st_mode if rest else mount.path.lstat().st_mode
    except OSError:
        return _MISSING
    # Where a link in an input leads shows inside.
    return "" if stat.S_ISLNK(mode) or (stat.S_ISREG(mode) and mode & 0o111) else _DENIED


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs = (text.partition("=") for text in texts)
    return {name: value for name, _, value in pairs if name}


def _not_started(name: str, problem: str) -> EngineError:
    return _failed(
        f'failed to start container: exec: "{name[:_SHOWN]}": {problem}',
        "Check Entrypoint and Parameters: the program must exist in the image and be executable.",
    )


def _failed(message: str, hint: str = "") -> EngineError:
    return EngineError(message, hint=hint, component=COMPONENT, fails_execution=True)
