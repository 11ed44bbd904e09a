"""Objects as MIME bundles, by the protocol of IPython: ``_repr_mimebundle_`` and ``_repr_*_``."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_METHODS = (
    ("text/html", "_repr_html_"),
    ("text/markdown", "_repr_markdown_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"),
    ("application/json", "_repr_json_"),
)
_LONGEST_SEQUENCE = 1000
_LINE = 80


def shows_itself(obj: Any) -> bool:
    """Call ``_ipython_display_`` where there is one; return whether it was there."""
    method = _method(obj, "_ipython_display_")
    if method is None:
        return False
    try:
        method()
    except NotImplementedError:
        return False
    except Exception:
        _complain(obj, "_ipython_display_")
        return False
    return True


def bundle(obj: Any, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an object's forms, richest and plainest, and what they say of themselves.

    A form whose method raises is left out; its traceback goes to stderr, as in IPython.
    """
    data: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    _take(obj, "_repr_mimebundle_", data, metadata, include=include, exclude=exclude)
    for kind, name in _METHODS:
        if kind not in data:
            value, about = _with_metadata(_called(obj, name))
            if value is not None:
                data[kind] = value
                if about:
                    metadata[kind] = about
    if type(obj).__name__ == "Figure" and type(obj).__module__ == "matplotlib.figure":
        data.update(_figure(obj))
    if "text/plain" not in data:
        data["text/plain"] = text_of(obj)
    if include:
        data = {kind: value for kind, value in data.items() if kind in include}
    for kind in exclude or ():
        data.pop(kind, None)
    return {str(kind): _text(value) for kind, value in data.items()}, metadata


def text_of(obj: Any) -> str:
    """Return what a terminal would show: containers over several lines, long ones cut."""
    try:
        if type(obj) in (list, tuple, set, frozenset, dict) and obj:
            return _container(obj)
        return repr(obj)
    except Exception:
        _complain(obj, "__repr__")
        return object.__repr__(obj)


def _container(obj: Any) -> str:
    count = len(obj)
    if count > _LONGEST_SEQUENCE:
        from itertools import islice

        items = islice(obj.items() if isinstance(obj, dict) else obj, _LONGEST_SEQUENCE)
        obj = type(obj)(items)
    text = repr(obj)
    if len(text) >= _LINE:
        import pprint

        text = pprint.pformat(obj, width=_LINE, sort_dicts=False)
    if count > _LONGEST_SEQUENCE:
        text += f"\n… and {count - _LONGEST_SEQUENCE:,} more"
    return text


def _take(obj: Any, name: str, data: dict[str, Any], metadata: dict[str, Any], **options: Any) -> None:
    value, about = _with_metadata(_called(obj, name, **options))
    if isinstance(value, dict):
        data.update(value)
        metadata.update(about)


def _with_metadata(value: Any) -> tuple[Any, dict[str, Any]]:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict):
        return value
    return value, {}


def _called(obj: Any, name: str, **options: Any) -> Any:
    method = _method(obj, name)
    if method is None:
        return None
    try:
        return method(**options)
    except NotImplementedError:
        return None
    except Exception:
        _complain(obj, name)
        return None


def _method(obj: Any, name: str) -> Any:
    """Return an object's method; objects that answer to any name, and classes, have none."""
    if isinstance(obj, type):
        return None
    try:
        if getattr(obj, "_ipython_canary_method_should_not_exist_", None) is not None:
            return None
        method = getattr(obj, name, None)
    except Exception:
        # Looking up an attribute runs code of the object; one that raises has no such form.
        return None
    return method if callable(method) else None


def _complain(obj: Any, name: str) -> None:
    import traceback

    sys.stderr.write(f"{type(obj).__qualname__}.{name} failed:\n")
    traceback.print_exc()


def _figure(figure: Any) -> dict[str, Any]:
    import io

    out = io.BytesIO()
    try:
        figure.canvas.print_figure(out, format="png", bbox_inches="tight", dpi=figure.dpi)
    except Exception:
        _complain(figure, "print_figure")
        return {}
    return {"image/png": out.getvalue()}


def _text(value: Any) -> Any:
    """Return bytes as base64, which is what a bundle holds."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        import binascii

        return binascii.b2a_base64(value, newline=False).decode()
    return value
