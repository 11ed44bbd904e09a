"""Extras that a package does not have: uv and pip leave them out, and the import fails later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email.parser import HeaderParser
from pathlib import Path

from bacalhau_jupyter.client.packages.failures import COMPONENT
from bacalhau_jupyter.client.packages.requirements import Required
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.text import readable

_MOST_SHOWN = 20


def check_extras(site: Path, required: Sequence[Required]) -> None:
    """Refuse requirements with an extra that the installed package does not have. Blocks.

    Raises
    ------
    BadRequest
        It names the extras that there are.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    asked = {each.name: Requirement(each.text).extras for each in required}
    if not any(asked.values()):
        return
    for name, offered in _offered(site):
        known = {canonicalize_name(each) for each in offered}
        for extra in sorted(asked.get(canonicalize_name(name), ())):
            if canonicalize_name(extra) not in known:
                shown = [readable(each) for each in sorted(known)[:_MOST_SHOWN]]
                raise BadRequest(
                    f"{canonicalize_name(name)} has no extra {extra}",
                    component=COMPONENT,
                    hint=f"it has {', '.join(shown)}" if shown else "it has none: leave the brackets out",
                )


def _offered(site: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each distribution with the extras that it has."""
    for metadata in sorted(site.glob("*.dist-info/METADATA")):
        headers = HeaderParser().parsestr(read_text(metadata, "replace"))
        yield str(headers.get("Name", "")), [str(each) for each in headers.get_all("Provides-Extra", ())]
