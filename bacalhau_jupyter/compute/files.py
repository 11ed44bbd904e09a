"""Where the files of an execution lie, and what is read from and written to them. Functions here block."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.reserve import is_full
from bacalhau_jupyter.lib.text import write_text
from bacalhau_jupyter.models.errors import BacalhauError, IOFailure
from bacalhau_jupyter.models.records.displays import DisplayFilter
from bacalhau_jupyter.models.records.execution import RUN_OUTPUT_LIMIT, RunCommandResult
from bacalhau_jupyter.plugins.logfile import STDERR, STDOUT, read_frames

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_safe_id(identifier: str) -> bool:
    """Whether an ID from the wire may name a directory."""
    return _SAFE_ID.fullmatch(identifier) is not None


class Places:
    """Directories and files under the compute role's data directory.

    Parameters
    ----------
    data_dir
        Absolute.
    """

    def __init__(self, data_dir: Path) -> None:
        self.executions = data_dir / "executions"
        self.logs = data_dir / "logs"
        self.cache = data_dir / "cache"

    def prepare(self) -> None:
        """Create what is missing, private to this user."""
        self.executions.parent.parent.mkdir(parents=True, exist_ok=True)
        for directory in (self.executions, self.logs):
            _make_private(directory, self.executions.parent)

    def log(self, execution_id: str) -> Path:
        """The log file; it outlives the directory."""
        return self.logs / f"{execution_id}.log"

    def directory(self, execution_id: str) -> Path:
        """Everything else of an execution."""
        return self.executions / execution_id

    def engine(self, execution_id: str) -> Path:
        """The engine's own directory."""
        return self.directory(execution_id) / "engine"

    def input(self, execution_id: str, index: int) -> Path:
        """Where the input of that index is fetched to."""
        return self.directory(execution_id) / "inputs" / str(index)

    def results(self, execution_id: str) -> Path:
        """What will be published; the task writes its outputs straight into it."""
        return self.directory(execution_id) / "results"

    def fresh_inputs(self, execution_id: str, count: int) -> list[Path]:
        """Empty directories for the inputs; what an earlier try brought is removed."""
        remove_tree(self.directory(execution_id) / "inputs")
        directories = [self.input(execution_id, index) for index in range(count)]
        for directory in directories:
            _make_private(directory, self.directory(execution_id))
        return directories

    def ready_to_run(self, execution_id: str, outputs: Sequence[str]) -> None:
        """Create the engine's directory and one output directory per result path."""
        _make_private(self.engine(execution_id), self.directory(execution_id))
        _make_private(self.results(execution_id), self.directory(execution_id))
        for name in outputs:
            directory = self.results(execution_id) / name
            directory.mkdir(exist_ok=True)
            # The task may run as any user; what keeps others out is the private directory above.
            directory.chmod(0o777)

    def remove_inputs(self, execution_id: str) -> None:
        """Remove fetched inputs; links and mounts that lead elsewhere are not followed."""
        remove_tree(self.directory(execution_id) / "inputs")

    def remove(self, execution_id: str) -> OSError | None:
        """Remove the directory; why something of it is left, or None."""
        return remove_tree(self.directory(execution_id))

    def cut_log(self, execution_id: str) -> None:
        """Keep about the first megabyte of a finished log."""
        log = self.log(execution_id)
        frames = list(read_frames(log))
        if frames and log.stat().st_size > frames[-1].next_offset:
            os.truncate(log, frames[-1].next_offset)

    def remove_log(self, execution_id: str) -> None:
        self.log(execution_id).unlink(missing_ok=True)


def _make_private(directory: Path, top: Path) -> None:
    """Create a directory and those above it up to ``top``, each 0700 (``mkdir`` alone would do so for the last)."""
    levels = [directory]
    while levels[-1] != top:
        levels.append(levels[-1].parent)
    for level in reversed(levels):
        level.mkdir(mode=0o700, exist_ok=True)


def write_results(log: Path, directory: Path, exit_code: int) -> None:
    """Write ``stdout``, ``stderr`` and ``exitCode`` beside the outputs."""
    _make_private(directory, directory.parent)
    with (directory / "stdout").open("wb") as stdout, (directory / "stderr").open("wb") as stderr:
        files = {STDOUT: stdout, STDERR: stderr}
        offset = 0
        while True:
            frame = None
            for frame in read_frames(log, offset):
                if frame.shown_in in files:
                    files[frame.shown_in].write(frame.data)
            if frame is None:
                break
            offset = frame.next_offset
    write_text(directory / "exitCode", str(exit_code))


def read_output(log: Path, exit_code: int, error: str = "") -> RunCommandResult:
    """Return the exit code and the start of each stream, cut to `RUN_OUTPUT_LIMIT` bytes between characters."""
    texts = {STDOUT: b"", STDERR: b""}
    # What a Python cell displays would fill the few bytes with base64; its plain text stays.
    displays = DisplayFilter()
    offset, more = 0, True
    while more:
        more = False
        for frame in read_frames(log, offset):
            more, offset = True, frame.next_offset
            stream = frame.shown_in
            if stream in texts and len(texts[stream]) <= RUN_OUTPUT_LIMIT:
                data = frame.data
                if stream == STDOUT:
                    data = displays.feed(data.decode("latin-1")).encode("latin-1")
                texts[stream] += data[: RUN_OUTPUT_LIMIT + 4]
        if all(len(text) > RUN_OUTPUT_LIMIT for text in texts.values()):
            break
    if len(texts[STDOUT]) <= RUN_OUTPUT_LIMIT:
        texts[STDOUT] += displays.finish().encode("latin-1")
    stdout, stdout_truncated = _cut(texts[STDOUT])
    stderr, stderr_truncated = _cut(texts[STDERR])
    return RunCommandResult(
        stdout=stdout,
        stdout_truncated=stdout_truncated,
        stderr=stderr,
        stderr_truncated=stderr_truncated,
        exit_code=exit_code,
        error_msg=error,
    )


def _cut(data: bytes) -> tuple[str, bool]:
    truncated = len(data) > RUN_OUTPUT_LIMIT
    head = data[:RUN_OUTPUT_LIMIT]
    if truncated:
        # At most three bytes at the end can be the start of a character that was cut.
        for size in range(1, 4):
            if len(head) >= size and head[-size] >= 0xC0:
                width = 2 if head[-size] < 0xE0 else 3 if head[-size] < 0xF0 else 4
                head = head[:-size] if width > size else head
                break
            if head[-size:][:1] < b"\x80":
                break
    text = head.decode("utf-8", "replace")
    # Bytes that are not text were replaced by longer ones.
    fitted = text.encode()[:RUN_OUTPUT_LIMIT].decode("utf-8", "ignore")
    return fitted, truncated or len(fitted) < len(text)


def as_bacalhau_error(error: Exception, doing: str) -> BacalhauError:
    """Turn an activity's exception into an error for the report."""
    if isinstance(error, BacalhauError):
        return error
    if is_full(error):
        return IOFailure(
            f"the disk of the compute node is full (while {doing})",
            hint="free some space on the node, or ask for less data",
            retryable=True,
            fails_execution=True,
        )
    if isinstance(error, OSError):
        return IOFailure(f"{doing} failed: {error}", fails_execution=True)
    return BacalhauError(f"{doing} failed: {type(error).__name__}: {error}", fails_execution=True)
