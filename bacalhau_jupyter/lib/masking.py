"""Removes secrets of URLs from text: everything that is shown, logged or stored as an event passes here."""

from __future__ import annotations

import re

MASK = "***"

_SCHEME = r"([A-Za-z][A-Za-z0-9+.-]*://)"
_END = r"\s/?#\"'<>"
_USER = re.compile(rf"{_SCHEME}([^{_END}]*)@")
# A password with a slash in it: what looks like a port is none.
_BROKEN = re.compile(rf"{_SCHEME}[^{_END}:@]*:(?!\d*(?:[{_END}),;.\]]|$))[^\s\"'<>]{{0,500}}@")
_QUERY = re.compile(
    r"([?&](?:x-amz-(?:signature|credential|security-token)|signature|sig|access_token|token|api_?key|password|secret)=)"
    r"[^&#\s\"'<>]+",
    re.IGNORECASE,
)


def _hidden(found: re.Match[str]) -> str:
    # A user's name alone may be a token; that of ssh is none, and says whose account is meant.
    is_account = found[1].lower().endswith("ssh://") and ":" not in found[2]
    return found[0] if is_account else f"{found[1]}{MASK}@"


def mask_secrets(text: str) -> str:
    """Return a text in whose URLs users with their passwords, signatures and tokens are replaced by ``***``."""
    if "@" in text and "://" in text:
        text = _BROKEN.sub(rf"\1{MASK}@", _USER.sub(_hidden, text))
    if "=" in text:
        text = _QUERY.sub(rf"\1{MASK}", text)
    return text
