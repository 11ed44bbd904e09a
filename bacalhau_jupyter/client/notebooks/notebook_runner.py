"""Runs a notebook inside a job, cell by cell, and leaves the executed copy in ``outputs/``.

This file is shipped with the job, next to ``notebook.ipynb`` and ``run.json`` (the copy's name, the kernel). It
runs on any Python from 3.8 on that has nbclient and ipykernel, and imports nothing of this package.
"""

# ruff: noqa: PTH100, PTH103, PTH109, PTH112, PTH118, PTH120, PTH123
import json
import os
import pathlib
import signal
import sys
import tempfile
import time

import _bacalhau_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
NOT_EQUIPPED = 3
"""Exit status where nbclient or ipykernel is missing."""


def say(text: str) -> None:
    """Print a line of our own, flushed, because the output is watched live."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def read(name: str) -> str:
    """Read a file of the kit."""
    with open(os.path.join(HERE, name), encoding="utf-8", newline="") as file:
        return file.read()


def write(path: str, text: str) -> None:
    """Write a text file, its directory included."""
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: TID251
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def main() -> int:
    """Run the notebook; 0 when every cell did well, 1 when one failed."""
    try:
        import ipykernel  # noqa: F401
        import nbclient  # noqa: F401
        import nbformat
    except ImportError as error:
        sys.stderr.write(
            f"this job's Python has no module {error.name!r}, which running a notebook needs\n"
            "Hint: use an image that holds nbclient and ipykernel (such as quay.io/jupyter/minimal-notebook), "
            "or install them for this kernel: pip install nbclient ipykernel\n"
        )
        return NOT_EQUIPPED
    spec = json.loads(read("run.json"))
    notebook: Any = nbformat.reads(read("notebook.ipynb"), as_version=4)  # type: ignore[no-untyped-call]
    home = tempfile.mkdtemp(prefix="nb-")
    find_packages(spec.get("kernel"))
    prepare_home(home, spec.get("kernel"))
    if not spec.get("stays"):
        _bacalhau_directory.enter_writable()
    # After a stop the user still gets the finished cells.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    outputs = os.environ.get("BACALHAU_OUTPUTS", "outputs")
    os.makedirs(outputs, exist_ok=True)  # noqa: TID251
    try:
        return execute(notebook, spec, home)
    finally:
        with open(os.path.join(outputs, spec["copy"]), "w", encoding="utf-8", newline="") as file:
            file.write(nbformat.writes(notebook))  # type: ignore[no-untyped-call]


def find_packages(kernel: "Any") -> None:
    """Let the kernel import the packages that were fetched for the job, before its own."""
    place = os.path.join(os.path.dirname(HERE), ".packages")
    if not pathlib.Path(place).is_dir():
        return
    for name, first in (("PYTHONPATH", place), ("PATH", os.path.join(place, "bin"))):
        for environment in (os.environ, (kernel or {}).get("env", {})):
            if environment is os.environ or name in environment:
                rest = environment.get(name, "")
                environment[name] = first + (os.pathsep + rest if rest else "")


def prepare_home(home: str, kernel: "Any") -> None:
    """Give Jupyter and IPython places to write to, and the kernel that the notebook asks for."""
    for name in (
        "JUPYTER_RUNTIME_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_CONFIG_DIR",
        "IPYTHONDIR",
        "MPLCONFIGDIR",
    ):
        os.environ[name] = os.path.join(home, name.lower())
    os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
    # History is not needed here, and not every place in a job can hold a database.
    config = os.path.join(home, "ipythondir", "profile_default", "ipython_kernel_config.py")
    write(
        config, f"c.HistoryManager.enabled = False\nc.InteractiveShellApp.exec_lines = {import_lines()!r}\n"
    )
    if kernel:
        write(os.path.join(home, "jupyter_data_dir", "kernels", "job", "kernel.json"), json.dumps(kernel))


def import_lines() -> "list[str]":
    """Return the lines that let cells import modules beside the notebook, and from the inputs."""
    modules = os.path.join(HERE, "modules")
    inputs = os.path.abspath(os.environ.get("BACALHAU_INPUTS", "inputs"))
    # Last: what somebody else put into the inputs must not stand for a module of the library.
    lines = [f"__import__('sys').path.append({inputs!r})"]
    if os.path.isdir(modules):
        lines.append(f"__import__('sys').path.insert(1, {modules!r})")
    return lines


def execute(notebook: "Any", spec: "Any", home: str) -> int:
    """Run every cell; their streams are printed as they come, with a line before and after each cell."""
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    total = len(cells)

    class Client(NotebookClient):
        line_open = False

        async def async_execute_cell(
            self, cell: "Any", cell_index: int, *rest: "Any", **more: "Any"
        ) -> "Any":
            if cell.cell_type != "code" or not cell.source.strip():
                return cell
            number = next(i for i, each in enumerate(cells, 1) if each is cell)
            begun = time.monotonic()
            say(f"[cell {number}/{total}] started")
            how = "failed"
            try:
                done = await super().async_execute_cell(cell, cell_index, *rest, **more)
                how = "finished"
                return done
            except CellExecutionError as error:
                self.new_line()
                show_error(cell, error)
                raise
            finally:
                self.new_line()
                say(f"[cell {number}/{total}] {how} after {time.monotonic() - begun:.2f} s")

        def process_message(self, msg: "Any", cell: "Any", cell_index: int) -> "Any":
            if msg["msg_type"] == "stream":
                text = msg["content"]["text"]
                target = sys.stderr if msg["content"]["name"] == "stderr" else sys.stdout
                target.write(text)
                target.flush()
                self.line_open = target is sys.stdout and not text.endswith("\n")
            return super().process_message(msg, cell, cell_index)

        def new_line(self) -> None:
            if self.line_open:
                say("")
            self.line_open = False

    name = "job" if spec.get("kernel") else notebook.metadata.get("kernelspec", {}).get("name", "python3")
    # Sockets of the file system: a job has no network unless it asks for one.
    manager = AsyncKernelManager(kernel_name=name, transport="ipc", ip=os.path.join(home, "k"))
    client = Client(notebook, km=manager, timeout=None, resources={"metadata": {"path": os.getcwd()}})
    try:
        client.execute(cleanup_kc=True)
    except CellExecutionError:
        return 1
    except DeadKernelError:
        sys.stderr.write("the kernel died (out of memory, or a crash in native code)\n")
        return 1
    except Exception as error:
        sys.stderr.write(f"the kernel can't be run: {type(error).__name__}: {error}\n")
        return 1
    return 0


def show_error(cell: "Any", error: "Any") -> None:
    """Print the cell's traceback where nobody has yet: it is in the copy, and belongs into the log too."""
    errors = [output for output in cell.outputs if output.get("output_type") == "error"]
    sys.stderr.write("\n".join(errors[-1].get("traceback", [])) if errors else str(error))
    sys.stderr.write("\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
