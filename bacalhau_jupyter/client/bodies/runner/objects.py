"""Display objects for a job without IPython: ``HTML``, ``Markdown``, ``JSON``, ``SVG``, ``Image`` and the rest."""

# ruff: noqa: PTH123
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as _Any


class DisplayObject:
    """Data of one kind, given or read from a file."""

    _kind = "text/plain"
    _mode = "r"

    def __init__(self, data: _Any = None, url: _Any = None, filename: _Any = None, **options: _Any) -> None:
        if url is not None:
            raise ValueError("a job shows no URLs: fetch the data, or use filename=")
        self.data = data
        self.filename = filename
        self.metadata = options.get("metadata") or {}
        if filename is not None:
            if "b" in self._mode:
                with open(filename, "rb") as file:
                    self.data = file.read()
            else:
                with open(filename, encoding="utf-8", newline="") as file:
                    self.data = file.read()

    def __repr__(self) -> str:
        return f"<IPython.core.display.{type(self).__name__} object>"

    def _repr_mimebundle_(self, include: _Any = None, exclude: _Any = None) -> _Any:
        del include, exclude
        return {self._kind: self.data, "text/plain": repr(self)}


class TextDisplayObject(DisplayObject):
    """Text."""


class HTML(TextDisplayObject):
    """Shown in a frame without scripts."""

    _kind = "text/html"


class Markdown(TextDisplayObject):
    """Formatted text."""

    _kind = "text/markdown"


class Pretty(TextDisplayObject):
    """Plain text."""

    def _repr_mimebundle_(self, include: _Any = None, exclude: _Any = None) -> _Any:
        del include, exclude
        return {"text/plain": str(self.data)}


class Latex(TextDisplayObject):
    """A formula."""

    _kind = "text/latex"


class Math(Latex):
    """A formula."""


class SVG(DisplayObject):
    """A vector image."""

    _kind = "image/svg+xml"


class JSON(DisplayObject):
    """Data as a tree."""

    _kind = "application/json"


class Javascript(TextDisplayObject):
    """A script; the notebook does not run those of a job."""

    _kind = "application/javascript"


class Image(DisplayObject):
    """A PNG, JPEG or GIF."""

    _mode = "rb"

    def __init__(self, data: _Any = None, *options: _Any, **more: _Any) -> None:
        if isinstance(data, str):
            data, more["filename"] = None, data
        super().__init__(data, *options, **more)
        self.width, self.height = more.get("width"), more.get("height")

    def _repr_mimebundle_(self, include: _Any = None, exclude: _Any = None) -> _Any:
        del include, exclude
        data = self.data or b""
        kind = "image/png"
        if data[:3] == b"\xff\xd8\xff":
            kind = "image/jpeg"
        elif data[:3] == b"GIF":
            kind = "image/gif"
        size = {name: getattr(self, name) for name in ("width", "height") if getattr(self, name)}
        return {kind: data, "text/plain": repr(self)}, {kind: size}
