"""Trying the engine for real: an image of one program, which must not read a file of the node, and write a result."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from bacalhau_jupyter.engines.images.contract import FoundImage, HeldImage, ImageConfig, KeptImage
from bacalhau_jupyter.engines.supervised.trial import last_words, request_of, try_out
from bacalhau_jupyter.lib.programs import machine_code
from bacalhau_jupyter.lib.programs.machine_code import Argument, Data, Saved, executable
from bacalhau_jupyter.lib.text import write_text
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType, SpecConfig, Task
from bacalhau_jupyter.plugins.contract import OutputMount, Progress, no_progress
from bacalhau_jupyter.plugins.engine import Engine, Outcome

_SECRET = b"not for jobs"
_CREATE = os.O_WRONLY | os.O_CREAT
_AT_FDCWD = 0xFFFFFF9C


def program(nonce: str) -> bytes:
    """Return a program that writes what it can read of a file to ``/outputs/probe``, and a file to the image."""
    kind, data = machine_code.machine(), Data()

    def call(name: str, *arguments: Argument) -> bytes:
        return kind.call(kind.calls[name], arguments)

    def text(value: str) -> int:
        return data.add(os.fsencode(value) + b"\0")

    buffer = data.add(struct.pack("32x"))
    code = call("openat", _AT_FDCWD, text("/written"), _CREATE, 0o600)
    code += call("openat", _AT_FDCWD, text(nonce), os.O_RDONLY, 0) + kind.save(0)
    code += call("read", Saved(0), buffer, len(_SECRET))
    code += call("openat", _AT_FDCWD, text("/outputs/probe"), _CREATE, 0o600) + kind.save(0)
    code += call("write", Saved(0), buffer, len(_SECRET)) + call("exit_group", 0)
    return executable(kind, code, bytes(data.content))


class Store:
    """A store of that one image, which is always there."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self._image = FoundImage("probe", "", "", ImageConfig("", "", command=("/probe",)), 0, is_here=True)

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def find(self, reference: str) -> FoundImage:
        return self._image

    async def hold(self, reference: str, holder: str, progress: Progress = no_progress) -> HeldImage:
        return HeldImage(self._image, self.tree)

    async def held(self, holder: str) -> HeldImage | None:
        return HeldImage(self._image, self.tree)

    async def release(self, holder: str) -> None:
        return

    async def load(self, path: Path, progress: Progress = no_progress) -> Sequence[KeptImage]:
        return ()

    async def images(self) -> Sequence[KeptImage]:
        return ()

    async def remove(self, reference_or_digest: str) -> int:
        return 0

    async def clean(self) -> int:
        return 0


async def problem(engine: Engine, place: Path, node_id: str) -> str:
    """Run the trial on an engine with the store of the trial; return why it does not work, or "".

    Parameters
    ----------
    engine
        Its store's tree is ``place/tree``.
    place
        A directory of the node's for the trial's files.
    node_id
        This node.
    """
    nonce, outputs, log, tree = (place / name for name in ("nonce", "outputs", "log", "tree"))
    task = Task(
        name="probe",
        engine=SpecConfig(type="docker", params={"Image": "probe"}),
        network=NetworkConfig(type=NetworkType.NONE),
    )
    mounts = (OutputMount("outputs", outputs, "/outputs"),)
    return await try_out(
        engine,
        request_of(task, node_id, place, log, outputs=mounts),
        lambda: _prepare(nonce, tree),
        lambda outcome: _verdict(outcome, outputs / "probe", log, tree),
    )


def _prepare(nonce: Path, tree: Path) -> None:
    tree.mkdir(parents=True)
    tree.chmod(0o755)
    (tree / "probe").write_bytes(program(str(nonce)))
    (tree / "probe").chmod(0o755)
    write_text(nonce, _SECRET.decode())


def _verdict(outcome: Outcome, result: Path, log: Path, tree: Path) -> str:
    said = last_words(log)
    if outcome.error is not None:
        return f"{outcome.error.message}{said}"
    if outcome.exit_code or not result.exists():
        return f"a trial program failed with exit code {outcome.exit_code}{said}"
    if result.read_bytes().strip(b"\0"):
        return "a trial program could read the node's own files"
    if (tree / "written").exists():
        return "a trial program could change the image that it ran in"
    return ""
