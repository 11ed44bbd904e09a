"""Config files that hold secrets and can be read by other users."""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.keys import KEYS, Kind

_SECRET_MEMBERS = ("password", "apikey")
_READABLE_BY_OTHERS = 0o044


def warnings(config: Config) -> list[str]:
    """Return a sentence for each file that holds a secret of this configuration and that others can read."""
    files: dict[str, list[str]] = {}
    for name, key in KEYS.items():
        source = config.source(name)
        if _is_secret(key.kind, key.secret, config[name]) and _is_exposed(source):
            files.setdefault(source, []).append(name)
    return [
        f"other users can read {file}, which holds {', '.join(names)}: chmod 600 {file}"
        for file, names in files.items()
    ]


def _is_secret(kind: Kind, secret: bool, value: object) -> bool:
    if kind is Kind.RECORDS and isinstance(value, list):
        return any(
            name.lower() in _SECRET_MEMBERS and member for record in value for name, member in record.items()
        )
    return secret and bool(value)


def _is_exposed(source: str) -> bool:
    """Whether a value comes from a file that others can read; variables and flags are no files."""
    try:
        return bool(Path(source).stat().st_mode & _READABLE_BY_OTHERS)
    except (OSError, ValueError):
        return False
