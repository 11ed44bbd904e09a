"""The quotas of principals, as the configuration writes them.

A member that is left out is not limited; ``0`` allows nothing, and ``unlimited`` lifts the default for one principal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.units import parse_bytes, parse_cpu, parse_gpu
from bacalhau_jupyter.models.records.quotas import OWNER_NAME, Quota, Quotas

COMPONENT = "Config"

_DEFAULT, _PRINCIPALS = "API.Quotas.Default", "API.Quotas.Principals"
_NAME, _UNLIMITED = "name", "unlimited"
_PARSERS: Mapping[str, Callable[[str], float | int]] = {
    "jobs": parse_gpu,
    "cpu": parse_cpu,
    "memory": parse_bytes,
    "gpu": parse_gpu,
    "uploads": parse_bytes,
}
_HINT = (
    "Members are Jobs: 2, CPU: 1.5 or 500m, Memory: 8gb, GPU: 1, Uploads: 10gb, each optional; "
    "0 allows nothing, unlimited lifts the default."
)


def quotas_of(config: Config) -> Quotas:
    """Read everybody's quotas.

    Raises
    ------
    ConfigurationError
        One can't be read, or is nobody's: a limit that silently does nothing would be worse than no start.
    """
    default = _amounts(config[_DEFAULT], _DEFAULT)
    own: dict[str, Quota] = {}
    for number, record in enumerate(config[_PRINCIPALS], 1):
        place = f"{_PRINCIPALS}, entry {number}"
        members = {str(name).lower(): value for name, value in record.items()}
        name = str(members.pop(_NAME, "") or "").strip().lower()
        if not name:
            raise ConfigurationError(
                f"{place}: it has no Name", hint="A Name is one such as user:ada or key:ci."
            )
        if name == OWNER_NAME:
            raise ConfigurationError(f"{place}: the owner of the node has no quota")
        if name in own:
            raise ConfigurationError(f"{place}: {name} has a quota already")
        # What an entry says goes before the default, "unlimited" (None) too.
        own[name] = Quota(**(default | _amounts(members, place)))
    return Quotas(Quota(**default), own)


def _amounts(members: Mapping[str, Any], place: str) -> dict[str, Any]:
    amounts: dict[str, Any] = {}
    for name, value in members.items():
        parse = _PARSERS.get(str(name).lower())
        if parse is None:
            raise ConfigurationError(f"{place}: {name} is not a part of a quota", hint=_HINT)
        amounts[str(name).lower()] = _amount(value, parse, f"{place}: {name}")
    return amounts


def _amount(value: object, parse: Callable[[str], float | int], place: str) -> float | int | None:
    text = "" if value is None or isinstance(value, bool) else str(value).strip()
    if text.lower() == _UNLIMITED:
        return None
    try:
        return parse(text)
    except ValueError:
        raise ConfigurationError(f"{place} can't be {value!r}", hint=_HINT) from None
