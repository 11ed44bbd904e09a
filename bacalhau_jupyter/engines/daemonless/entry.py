"""The program that becomes the task, inside the sandbox: it takes on the image's user and executes the command.

It carries the command and the environment itself: a command line could be read by other users of this host, and
bubblewrap takes 9000 words at most.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bacalhau_jupyter.lib.programs import machine_code
from bacalhau_jupyter.lib.programs.machine_code import Argument, Data, executable

MAX_TEXT = 128 * 1024 - 1
"""Bytes that the kernel takes for one word or variable (``MAX_ARG_STRLEN``, without the final NUL)."""
MAX_TEXTS = 2 * 1024 * 1024 - 128 * 1024
"""Bytes for all words, variables and the pointers to them: a quarter of the usual stack, less a reserve."""
NOT_EXECUTED = 1
"""Exit code where the kernel refuses the program, as the usual container runtimes have it."""
_PR_CAPBSET_DROP = 24
_CAPABILITIES = 41
_FIRST_DESCRIPTOR, _DESCRIPTORS = 3, 8
_STDERR = 2


@dataclass(frozen=True)
class User:
    """Whom the program becomes; `groups` are further ones."""

    uid: int
    gid: int
    groups: Sequence[int] = ()


def is_too_long(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether the kernel would refuse a command for its length."""
    texts = [*(os.fsencode(word) for word in argv), *_variables(env)]
    longest = max((len(text) for text in texts), default=0)
    return longest > MAX_TEXT or sum(len(text) + 9 for text in texts) > MAX_TEXTS


def program(
    path: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    become: User | None = None,
    machine: str | None = None,
) -> bytes:
    """Return the executable file.

    Parameters
    ----------
    path
        What to execute, as the sandbox sees it.
    argv, env
        Its words, and its variables.
    become
        The user to take on; None where the sandbox has done so.
    machine
        Kind of processor, as `platform.machine` names it.
    """
    kind = machine_code.machine(machine)
    data = Data()

    def call(name: str, *arguments: Argument) -> bytes:
        return kind.call(kind.calls[name], arguments)

    def texts(values: Sequence[bytes]) -> int:
        addresses = [data.add(value + b"\0") for value in values]
        return data.add(struct.pack(f"<{len(addresses) + 1}Q", *addresses, 0))

    code = b"".join(call("close", _FIRST_DESCRIPTOR + number) for number in range(_DESCRIPTORS))
    if become is not None:
        # What needs rights comes first: a user other than root has none afterwards.
        code += b"".join(call("prctl", _PR_CAPBSET_DROP, each, 0, 0, 0) for each in range(_CAPABILITIES))
        groups = data.add(struct.pack(f"<{len(become.groups)}I", *become.groups) or bytes(4))
        code += call("setgroups", len(become.groups), groups)
        code += call("setresgid", become.gid, become.gid, become.gid)
        code += call("setresuid", become.uid, become.uid, become.uid)
    words, variables = texts([os.fsencode(word) for word in argv]), texts(_variables(env))
    code += call("execve", data.add(os.fsencode(path) + b"\0"), words, variables)
    said = os.fsencode(
        f"exec {path}: the kernel can't execute it (another format or processor, no interpreter)\n"
    )
    code += call("write", _STDERR, data.add(said), len(said)) + call("exit_group", NOT_EXECUTED)
    return executable(kind, code, bytes(data.content))


def _variables(env: Mapping[str, str]) -> list[bytes]:
    return [os.fsencode(f"{name}={value}") for name, value in env.items()]
