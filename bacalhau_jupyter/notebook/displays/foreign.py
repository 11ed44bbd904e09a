"""Foreign content in a notebook's page, in forms in which it can't act: images, and HTML in a frame without powers."""

from __future__ import annotations

import base64
import html

from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.displays.markup import harmless

_RASTER = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_SVG = "image/svg+xml"
_ALLOWED = "img-src data:; style-src 'unsafe-inline'; font-src data:"
_POLICY = f"default-src 'none'; {_ALLOWED}; base-uri 'none'; form-action 'none'"


def image_type(name: str, head: bytes) -> str:
    """Return an image's media type by its first bytes (SVG: by name, too), or nothing."""
    for magic, kind in _RASTER.items():
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    # A gzipped .svgz needs a header that a data URL can't carry.
    is_svg = name.lower().endswith(".svg") and b"<" in head and b"\x00" not in head
    return _SVG if is_svg else ""


def image_tag(data: bytes, kind: str, title: str) -> str:
    """Return an ``<img>``; inside one, not even an SVG runs scripts or loads anything."""
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    shown = html.escape(readable(title))
    return f'<img src="{source}" title="{shown}" alt="{shown}" style="max-width:100%">'


def sandboxed(page: str, height: int = 320) -> str:
    """Return a frame that shows foreign HTML without scripts, forms, links out, origin or network."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    source = html.escape(policy + harmless(page))
    return (
        f'<iframe sandbox="" referrerpolicy="no-referrer" srcdoc="{source}" '
        # With its border inside its width, and no line of text around it, it needs no scrollbar of the output.
        'style="display:block;box-sizing:border-box;width:100%;'
        f'height:{height}px;border:1px solid #ccc;background:white"></iframe>'
    )
