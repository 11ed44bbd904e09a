"""The traceback of a body, with the cell's own lines and without ours."""

from __future__ import annotations

import os
import sys
import traceback

from .places import CELL, MODULES, PACKAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def show_error(spec: dict[str, Any]) -> None:
    """Print the traceback of the error that is being handled, once, its sentence last."""
    kind, error, trace = sys.exc_info()
    if kind is None or error is None:
        return
    _drop_own_frames(error, set())
    while trace is not None and _is_own(trace):
        trace = trace.tb_next
    if spec.get("call"):
        # The line that calls the function is ours.
        trace = trace.tb_next if trace is not None and trace.tb_next is not None else trace
    text = "".join(traceback.format_exception(kind, error, trace))
    text = text.replace(f'File "{CELL}"', 'File "cell.py"').replace(f'File "{MODULES}{os.sep}', 'File "')
    if isinstance(error, ModuleNotFoundError):
        text = _with_ways_out(text, error, spec.get("ways", ()))
    elif isinstance(error, MemoryError):
        text = _hinted(
            text, 'Hint: the job has no memory left: --memory 4gb (memory="4gb" in Python) gives it more'
        )
    complain(text.rstrip("\n"))
    if spec.get("call"):
        from . import variables

        variables.save_error(error, text)


def complain(text: str) -> None:
    """Say something on stderr, also where the body closed it."""
    data = (text + "\n").encode("utf-8", "backslashreplace")
    try:
        sys.stderr.flush()
        sys.stderr.write(data.decode())
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        try:
            os.write(2, data)
        except OSError:
            return


def _is_own(trace: Any) -> bool:
    name = trace.tb_frame.f_code.co_filename
    # asyncio's frames stand between ours and those of a body with `await`.
    return str(name).startswith(PACKAGE + os.sep) or (
        trace.tb_next is not None and os.path.basename(os.path.dirname(name)) == "asyncio"  # noqa: PTH119, PTH120
    )


def _drop_own_frames(error: BaseException, shown_ids: set[int]) -> None:
    """Remove our frames from the errors that led to this one."""
    for cause in (error.__cause__, error.__context__):
        if cause is None or id(cause) in shown_ids:
            continue
        shown_ids.add(id(cause))
        trace = cause.__traceback__
        while trace is not None and _is_own(trace):
            trace = trace.tb_next
        cause.__traceback__ = trace
        _drop_own_frames(cause, shown_ids)


def _with_ways_out(text: str, error: ModuleNotFoundError, ways: Any) -> str:
    """Say how the job gets the module."""
    name = (error.name or "").partition(".")[0]
    if not name:
        return text
    hidden = os.environ.get("BACALHAU_PATHS_NOT_SHOWN")
    hints = "; ".join(_named(way, name) for way in ways)
    hint = f"Hint: the job's Python has no module {name!r}" + (f": {hints}" if hints else "")
    if hidden:
        hint += f"; import paths the job may not see: {hidden}"
    return _hinted(text, hint)


def _hinted(text: str, hint: str) -> str:
    """Put a hint before the last line, which is the error's sentence."""
    head, _, last = text.rstrip("\n").rpartition("\n")
    return f"{head}\n{hint}\n{last}\n" if head else f"{hint}\n{last}\n"


_DISTRIBUTIONS = {
    "Bio": "biopython",
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "github": "pygithub",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "osgeo": "gdal",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "usb": "pyusb",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
"""Well-known modules whose distribution has another name."""


def _named(way: str, module: str) -> str:
    """Name the module in a way out; its distribution where something installs it."""
    name = _DISTRIBUTIONS.get(module, module) if "pip" in way else module
    return way.replace("NAME", name)
