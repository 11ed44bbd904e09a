"""Removes secrets from what is shown: those of URLs in any text, and values of variables whose name looks secret."""

from __future__ import annotations

import re
from collections.abc import Mapping

MASK = "***"

_SCHEME = r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)"
"""Bounded: who writes a message would choose how long each of its letters is looked at."""
_END = r"\s/?#\"'<>"
_USER = re.compile(rf"{_SCHEME}([^{_END}]*)@")
# A password with a slash in it: what looks like a port is not one.
_BROKEN = re.compile(rf"{_SCHEME}[^{_END}:@]*:(?!\d*(?:[{_END}),;.\]]|$))[^\s\"'<>]{{0,500}}@")
_QUERY = re.compile(
    r"([?&](?:x-amz-(?:signature|credential|security-token)|signature|sig|access_token|token|api_?key|password|secret)=)"
    r"[^&#\s\"'<>]+",
    re.IGNORECASE,
)

_SECRET_WORD = re.compile(
    "secrets?|passwords?|passwd|passphrase|pass|pwd|pw|tokens?|credentials?|keys?|auth|bearer|jwt|pat|dsn|cookie"
    "|.*(?:password|passwd|passphrase|secret|token|apikey|accesskey|privatekey|credentials)"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NODE_VARIABLE = "env:"
"""Begins a value that names a variable of the node: it is no secret itself."""


def _hidden(match: re.Match[str]) -> str:
    # A user's name alone may be a token; that of ssh is not one, and says whose account is meant.
    is_account = match[1].lower().endswith("ssh://") and ":" not in match[2]
    return match[0] if is_account else f"{match[1]}{MASK}@"


def mask_secrets(text: str) -> str:
    """Return a text in whose URLs users with their passwords, signatures and tokens are replaced by ``***``."""
    if "@" in text and "://" in text:
        text = _BROKEN.sub(rf"\1{MASK}@", _USER.sub(_hidden, text))
    if "=" in text:
        text = _QUERY.sub(rf"\1{MASK}", text)
    return text


def looks_secret(name: str) -> bool:
    """Whether a variable of that name probably holds a secret: ``API_KEY``, ``dbPassword``, ``GITHUB_TOKEN``.

    A name that is wrongly taken for one costs a person a look at the spec; one that is missed costs the secret.
    """
    if name == "PWD":
        return False
    return any(_SECRET_WORD.fullmatch(word.lower()) for word in _WORD.findall(name))


def masked_value(name: str, value: str) -> str:
    """Return a variable's value as it may be shown: ``***`` where the name looks secret."""
    if value and looks_secret(name) and not value.startswith(_NODE_VARIABLE):
        return MASK
    return mask_secrets(value)


def masked_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables as they may be shown."""
    return {name: masked_value(name, value) for name, value in variables.items()}
