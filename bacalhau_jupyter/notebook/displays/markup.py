"""Foreign HTML without what would reach out of it: an allow-list of elements, and no address but data in the page.

The frame that shows it has no scripts, and its policy lets nothing be loaded. What a policy does not cover goes here:
connections that are opened ahead (``<link rel=preconnect>``), names that are looked up ahead (``<a href>``), and pages
that a click would load into the frame. The text is parsed and written anew, so that no browser can read it otherwise.
"""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

_HTML = """
a abbr address article aside b bdi bdo big blockquote body br button caption center cite code col colgroup data dd del
details dfn dialog div dl dt em fieldset figcaption figure font footer h1 h2 h3 h4 h5 h6 header hgroup hr i img input
ins kbd label legend li main mark meter nav ol optgroup option output p pre progress q rp rt ruby s samp section select
small span strike strong style sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr
"""
_SVG = """
svg g defs symbol use path rect circle ellipse line polyline polygon text tspan textPath clipPath mask marker pattern
image linearGradient radialGradient stop filter feBlend feColorMatrix feComponentTransfer feComposite feConvolveMatrix
feFlood feFuncA feFuncB feFuncG feFuncR feGaussianBlur feMerge feMergeNode feMorphology feOffset feTile feTurbulence
desc switch
"""
_MATHML = """
math mi mn mo ms mtext mspace mrow mfrac msqrt mroot mstyle merror mpadded mphantom msub msup msubsup munder mover
munderover mmultiscripts mprescripts mtable mtr mtd
"""
_DROPPED_WHOLE = """
script template noscript iframe object applet portal noembed noframes xmp plaintext textarea title audio video canvas
foreignobject
"""
_ADDRESSES = """
action archive attributionsrc background cite classid codebase data datasrc dynsrc formaction href http-equiv imagesizes
imagesrcset longdesc lowsrc manifest ping poster profile src srcdoc srcset target usemap xlink:href xml:base
"""
_CASED_ATTRIBUTES = """
viewBox preserveAspectRatio gradientUnits gradientTransform patternUnits patternTransform patternContentUnits
clipPathUnits maskUnits maskContentUnits markerWidth markerHeight markerUnits refX refY spreadMethod startOffset
textLength lengthAdjust stdDeviation baseFrequency numOctaves filterUnits primitiveUnits pathLength tableValues
kernelMatrix
"""

_FOREIGN = {name.lower(): name for name in f"{_SVG} {_MATHML}".split()}
"""Elements of SVG and MathML as browsers spell them, which Python's parser does not."""
_KEPT = frozenset(_HTML.split()) | _FOREIGN.keys()
_DROPPED = frozenset(_DROPPED_WHOLE.split())
"""Elements that go with all that is in them."""
_EMPTY = frozenset({"br", "col", "hr", "img", "input", "wbr"})
_LEADING = frozenset(_ADDRESSES.split())
"""Attributes that lead somewhere else."""
_CASED = {name.lower(): name for name in _CASED_ATTRIBUTES.split()}
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml)[;,]", re.IGNORECASE)
_NAME = re.compile(r"[a-z_][a-z0-9_.:-]{0,80}", re.IGNORECASE)
_LONGEST_TITLE = 300


def harmless(page: str) -> str:
    """Return HTML that shows the same and loads nothing.

    Parameters
    ----------
    page
        HTML as a job wrote it, whole or a part.
    """
    writer = _Writer()
    try:
        writer.feed(_without_comments(page))
    except AssertionError:
        # Python's parser knows declarations that it does not read.
        return f"<pre>{html.escape(page)}</pre>"
    # What begins and never ends is text. The parser's own way to find that out takes a time that grows with the square.
    writer.handle_data(html.unescape(writer.rawdata))
    return "".join(writer.parts)


def _without_comments(page: str) -> str:
    parts: list[str] = []
    at = 0
    while (begin := page.find("<!--", at)) >= 0:
        parts.append(page[at:begin])
        # "<!-->" is a whole comment.
        end = page.find("-->", begin + 2)
        if end < 0:
            return "".join(parts)
        at = end + 3
    return "".join([*parts, page[at:]])


class _Writer(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._dropped: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._dropped or tag in _DROPPED:
            self._dropped.append(tag)
        elif tag in _KEPT:
            self._in_style = tag == "style"
            self.parts.append(f"<{_FOREIGN.get(tag, tag)}{_attributes(tag, attrs)}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._dropped or tag not in _KEPT or tag == "style":
            return
        # Only SVG and MathML know elements that end where they begin; a browser takes others for open ones.
        end = "/" if tag in _FOREIGN else ""
        self.parts.append(f"<{_FOREIGN.get(tag, tag)}{_attributes(tag, attrs)}{end}>")

    def handle_endtag(self, tag: str) -> None:
        if self._dropped:
            # Elements that were never closed end with the one around them.
            if tag in self._dropped:
                del self._dropped[self._dropped.index(tag) :]
        elif tag in _KEPT and tag not in _EMPTY:
            self._in_style = False
            self.parts.append(f"</{_FOREIGN.get(tag, tag)}>")

    def handle_data(self, data: str) -> None:
        if self._dropped:
            return
        # Within <style> a browser decodes nothing; "<" is an escape there, for CSS knows it as a range only.
        self.parts.append(data.replace("<", "\\3c ") if self._in_style else html.escape(data, quote=False))


def _attributes(tag: str, attrs: list[tuple[str, str | None]]) -> str:
    shown: list[str] = []
    for name, text in attrs:
        value = text or ""
        if name.startswith("on") or name == "autofocus" or _NAME.fullmatch(name) is None:
            continue
        if name in _LEADING and not _stays(tag, name, value):
            if name == "href" and tag == "a":
                shown.append(f' title="{html.escape(value[:_LONGEST_TITLE])}"')
            continue
        shown.append(f' {_CASED.get(name, name)}="{html.escape(value)}"')
    return "".join(shown)


def _stays(tag: str, name: str, value: str) -> bool:
    """Whether an address leads nowhere but into the page itself."""
    if name in ("href", "xlink:href") and value.startswith("#"):
        return True
    is_picture = (tag == "img" and name == "src") or (tag == "image" and name in ("href", "xlink:href"))
    return is_picture and _PICTURE.match(value) is not None
