"""Images of a result, in the form that a notebook shows."""

from __future__ import annotations

import base64
import io
from typing import Any

from bacalhau_jupyter.models.errors import BacalhauError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".bmp", ".tif", ".tiff")


class Svg:
    """A drawing; it is shown inside an ``<img>``, where it can neither run scripts nor load anything.

    Attributes
    ----------
    data
        The file.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    def _repr_html_(self) -> str:
        source = base64.b64encode(self.data).decode()
        return f'<img src="data:image/svg+xml;base64,{source}" style="max-width:100%">'

    def __repr__(self) -> str:
        return f"<Svg of {len(self.data):,} bytes>"


def as_image(name: str, data: bytes) -> Any:
    """Return a `PIL.Image.Image` where Pillow is installed, else IPython's; an `Svg` for a drawing.

    Raises
    ------
    BacalhauError
        It is not an image, or a broken one.
    """
    if name.lower().endswith(".svg"):
        return Svg(data)
    try:
        from PIL import Image
    except ImportError:
        return _shown(name, data)
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _broken(name, error) from error
    return image


def _shown(name: str, data: bytes) -> Any:
    from IPython.display import Image

    try:
        return Image(data=data)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> BacalhauError:
    return BacalhauError(f"{name} is not an image: {error}", component="Results")
