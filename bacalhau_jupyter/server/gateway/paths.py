"""Which requests pass the gateway, under which spelling, and what Jupyter's authorizer is asked for them.

Everything here is pure: text in, text out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

from bacalhau_jupyter.models.errors import BadRequest, Forbidden, NotFound

API = ("api", "v1")
RESULTS = ("compute", "results")
"""Below `API`: the archives of the ``local`` publisher."""

OWN_USER_ONLY: dict[tuple[str, ...], str] = {
    ("agent", "environments"): "the gateway registers no Python environments",
    ("agent", "packages"): "the gateway registers no Python packages",
}
"""Below `API`: paths for the node's own user alone, which the gateway never passes."""

_JOBS = ("orchestrator", "jobs")
# What RFC 3986 allows in a segment, apart from letters and digits; a semicolon starts parameters for some servers.
_SAFE = "-._~!$&'()*+,=:@"
# api, v1, orchestrator, jobs, ID, results, files, execution
_FILES_FROM = 8
_MOST_LAYERS = 8
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Jupyter's own parameters: a login token must never reach the cluster. And what a node shows its own user alone: it
# would take the gateway for him.
_KEPT_PARAMETERS = frozenset({"token", "_xsrf", "no_track_activity", "session_id", "local"})


@dataclass(frozen=True)
class Target:
    """One route of the cluster.

    Attributes
    ----------
    segments
        The decoded segments after ``/api/v1``.
    query
        The query to send, encoded, without what belongs to Jupyter.
    """

    segments: tuple[str, ...]
    query: str = ""

    @property
    def path(self) -> str:
        """The one spelling of this path, percent-encoded, from ``/api/v1`` on."""
        parts = (*API, *self.segments)
        return "/" + "/".join(quote(part, safe=_SAFE, errors="surrogateescape") for part in parts)

    @property
    def path_and_query(self) -> str:
        """`path`, and the query where there is one."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def is_results_list(self) -> bool:
        """Whether the answer lists published results."""
        return len(self.segments) == 4 and self.segments[:2] == _JOBS and self.segments[3] == "results"

    @property
    def is_result_file(self) -> bool:
        """Whether the answer is an archive."""
        return len(self.segments) == 3 and self.segments[:2] == RESULTS

    @property
    def is_stream(self) -> bool:
        """Whether this is one of the websockets the gateway passes: logs of a job, events."""
        return self.segments == ("orchestrator", "events") or (
            len(self.segments) == 4 and self.segments[:2] == _JOBS and self.segments[3] == "logs"
        )

    @property
    def _belongs_to_a_sender(self) -> bool:
        """Whether reading this is part of sending something: an upload's state, a lease."""
        uploads = self.segments[:2] == ("orchestrator", "uploads") and self.segments[2:3] != ("content",)
        return uploads or self.segments == ("agent", "lease")

    def action(self, method: str) -> str:
        """Return what Jupyter's authorizer is asked: ``read``, ``write`` or ``execute``.

        ``read`` stands for the capabilities ``read:…``; whatever starts work on the cluster is ``execute``: submitting
        a job and running one again; all else that needs ``write:…`` is ``write``.
        """
        if method in ("GET", "HEAD"):
            return "write" if self._belongs_to_a_sender else "read"
        starts = self.segments == _JOBS or (
            len(self.segments) == 4 and self.segments[:2] == _JOBS and self.segments[3] == "rerun"
        )
        return "execute" if starts and method in ("PUT", "POST") else "write"


def parse(raw_path: str, raw_query: str = "") -> Target:
    """Read the path of a request, from ``/api/v1`` on, as it came: still percent-encoded.

    A path has one meaning only: what could be read in two ways is refused instead of tidied up. Below a job's result
    files, names come from jobs: there everything passes that leads nowhere else, however often it is decoded.

    Raises
    ------
    BadRequest
        The path has dot segments, empty segments, parameters (``;``), encoded separators, control characters, a second
        layer of encoding, or is not UTF-8.
    NotFound
        The path does not lie under ``/api/v1/``.
    Forbidden
        It is not passed on for anybody.
    """
    parts = raw_path.split("/")
    if parts[0] != "" or len(parts) < 2:
        raise _outside()
    path_segments = _without_trailing_slash(parts[1:])
    names = _FILES_FROM if _names_a_file(path_segments) else len(path_segments)
    segments = (*map(_segment, path_segments[:names]), *map(_file_name, path_segments[names:]))
    if segments[:2] != API or len(segments) < 3:
        raise _outside()
    refusal = OWN_USER_ONLY.get(tuple(_leniently(part) for part in segments[2:4]))
    if refusal:
        # The node would take the gateway for the user himself; a page must not say what his jobs may see.
        raise Forbidden(refusal)
    return Target(segments[2:], _query(raw_query))


def _without_trailing_slash(parts: list[str]) -> list[str]:
    return parts[:-1] if parts[-1] == "" else parts


def _segment(raw: str) -> str:
    if not raw.isascii() or "%" in _ESCAPE.sub("", raw):
        raise _refused("it is not properly percent-encoded")
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise _refused("it is not UTF-8") from None
    if ";" in raw:
        raise _refused("a segment has parameters")
    # Servers behind may cut parameters off and spell letters in their own way before they look for dots.
    for form in (text, unicodedata.normalize("NFKC", text)):
        if not form.partition(";")[0].strip(". "):
            raise _refused("it has an empty or a dot segment")
        if "/" in form or "\\" in form or _CONTROL.search(form):
            raise _refused("a segment holds a separator or a control character")
    if _ESCAPE.search(text):
        raise _refused("it is encoded twice")
    return text


def _leniently(text: str) -> str:
    """Read a segment as the most lenient server might."""
    return unicodedata.normalize("NFKC", text).partition(";")[0].strip().casefold()


def _names_a_file(parts: Sequence[str]) -> bool:
    return (
        len(parts) > _FILES_FROM
        and tuple(parts[: len(API) + len(_JOBS)]) == (*API, *_JOBS)
        and parts[_FILES_FROM - 3 : _FILES_FROM - 1] == ["results", "files"]
    )


def _file_name(raw: str) -> str:
    """Decode one name of a result file: any bytes but what could lead elsewhere, to any server."""
    if not raw.isascii() or "%" in _ESCAPE.sub("", raw):
        raise _refused("it is not properly percent-encoded")
    text = form = unquote_to_bytes(raw).decode("utf-8", "surrogateescape")
    for _ in range(_MOST_LAYERS):
        _check_name(form)
        again = unquote_to_bytes(form.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
        if again == form:
            return text
        form = again
    raise _refused("it is encoded too often")


def _check_name(form: str) -> None:
    for spelled in (form, unicodedata.normalize("NFKC", form)):
        if "/" in spelled or "\0" in spelled:
            raise _refused("a segment holds a separator or a control character")
        for part in spelled.partition(";")[0].split("\\"):
            if not part.strip(". "):
                raise _refused("it has an empty or a dot segment")


def _query(raw: str) -> str:
    pairs = parse_qsl(raw, keep_blank_values=True)
    return urlencode([(name, value) for name, value in pairs if name.lower() not in _KEPT_PARAMETERS])


def _refused(why: str) -> BadRequest:
    return BadRequest(f"the gateway does not pass this path: {why}")


def _outside() -> NotFound:
    return NotFound("the gateway passes only paths under /api/v1/")
