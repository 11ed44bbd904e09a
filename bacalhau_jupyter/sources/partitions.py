"""Which objects an execution of a partitioned job gets: a pure function of key, total and index.

Every execution computes it alone, so it must agree to the bit with every other node's: hashes are FNV-1a (32 bit)
over UTF-8, patterns are RE2's.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError
from bacalhau_jupyter.sources import golayout

COMPONENT = "S3InputSource"

_OFFSET, _PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF
_GROUP_SEPARATOR = "\x1f"
_MAX_PATTERN = 4096


class PartitionType(enum.Enum):
    """How the keys are shared out."""

    NONE = "none"
    OBJECT = "object"
    REGEX = "regex"
    SUBSTRING = "substring"
    DATE = "date"


@dataclass(frozen=True)
class Partition:
    """The ``Partition`` member of an S3 source."""

    type: PartitionType = PartitionType.NONE
    pattern: str = ""
    start: int = 0
    end: int = 0
    date_format: str = ""


def fnv1a(text: str) -> int:
    """Return the 32-bit FNV-1a hash of a text's UTF-8 bytes."""
    value = _OFFSET
    for byte in text.encode("utf-8", "surrogatepass"):
        value = ((value ^ byte) * _PRIME) & _MASK
    return value


def compile_pattern(pattern: str, name: str) -> Any:
    """Compile an RE2 pattern: linear in the key's length, whatever a job sends.

    Parameters
    ----------
    name
        The field, for messages.

    Raises
    ------
    BadRequest
        It does not compile, or is longer than 4096 characters.
    ConfigurationError
        RE2 is not installed.
    """
    try:
        import re2
    except ImportError as error:
        raise ConfigurationError(
            f"{name} needs the package google-re2, which is not installed",
            hint='pip install "bacalhau-jupyter[s3]"',
        ) from error
    if len(pattern) > _MAX_PATTERN:
        raise BadRequest(f"{name} is longer than {_MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise BadRequest(
            f"{name} {pattern!r} is not a regular expression: {reason}",
            hint="RE2 syntax: no look-around, no back-references",
        ) from None


def parse_partition(value: object) -> Partition:
    """Read the ``Partition`` parameter: a mapping with keys in any case, or nothing.

    Raises
    ------
    BadRequest
        A member is missing, unknown or breaks its rule; it is named.
    """
    if value is None or value == "":
        return Partition()
    if not isinstance(value, Mapping):
        raise BadRequest("Partition is not a mapping with Type and its settings")
    params = folded(value)
    text = str(params.get("type") or "none").strip().lower()
    try:
        kind = PartitionType(text)
    except ValueError:
        names = ", ".join(member.value for member in PartitionType)
        raise BadRequest(f"Partition.Type {text!r} is not one of {names}") from None
    partition = Partition(
        type=kind,
        pattern=_text(params, "pattern", "Pattern"),
        start=_count(params, "startindex", "StartIndex"),
        end=_count(params, "endindex", "EndIndex"),
        date_format=_text(params, "dateformat", "DateFormat"),
    )
    _check(partition)
    return partition


def _check(partition: Partition) -> None:
    match partition.type:
        case PartitionType.REGEX:
            if not partition.pattern:
                raise BadRequest("Partition.Pattern is empty")
            compile_pattern(partition.pattern, "Partition.Pattern")
        case PartitionType.SUBSTRING:
            if partition.start < 0:
                raise BadRequest("Partition.StartIndex is negative")
            if partition.end <= partition.start:
                raise BadRequest("Partition.EndIndex is not greater than StartIndex")
        case PartitionType.DATE:
            if not partition.date_format:
                raise BadRequest("Partition.DateFormat is empty")
            if not golayout.survives_round_trip(partition.date_format):
                raise BadRequest(
                    f"Partition.DateFormat {partition.date_format!r} can't be read back",
                    hint="write it as Go does, for example 2006-01-02",
                )


def assign(partition: Partition, prefix: str, total: int) -> Callable[[str], int]:
    """Return the function from a key to its partition in ``[0, total)``.

    Parameters
    ----------
    prefix
        What the keys were listed with: the source's key without one ``*`` at its end.
    total
        Number of partitions: the job's ``Count``.

    Raises
    ------
    BadRequest
        ``total`` is not positive.
    """
    if total <= 0:
        raise BadRequest(f"the number of partitions (Count) must be greater than 0, not {total}")
    if partition.type is PartitionType.NONE or total == 1:
        return lambda key: 0
    if partition.type is PartitionType.OBJECT:
        return lambda key: fnv1a(key) % total
    label = _labeller(partition)

    def of(key: str) -> int:
        text = label(key.removeprefix(prefix).removeprefix("/"))
        return fnv1a(text) % total if text else 0

    return of


def selector(partition: Partition, prefix: str, total: int, index: int) -> Callable[[str], bool]:
    """Return whether execution ``index`` of ``total`` gets a key; without partitioning, each gets all.

    Raises
    ------
    BadRequest
        ``total`` is not positive, or ``index`` is outside of it.
    """
    if partition.type is PartitionType.NONE:
        return lambda key: True
    of = assign(partition, prefix, total)
    if not 0 <= index < total:
        raise BadRequest(f"the partition index {index} is not between 0 and {total - 1}")
    return lambda key: of(key) == index


def _labeller(partition: Partition) -> Callable[[str], str]:
    """Return the function from a trimmed key to what is hashed; empty: the first partition."""
    if partition.type is PartitionType.REGEX:
        compiled = compile_pattern(partition.pattern, "Partition.Pattern")
        return lambda text: _matched(compiled, text)
    if partition.type is PartitionType.SUBSTRING:
        start, end = partition.start, partition.end
        return lambda text: text[start:end] if len(text) >= end else ""
    layout = partition.date_format
    length = len(layout.encode())

    def dated(text: str) -> str:
        head = text.encode("utf-8", "surrogatepass")[:length]
        if len(head) < length:
            return ""
        try:
            return golayout.canonical(layout, head.decode()) or ""
        except UnicodeDecodeError:
            return ""

    return dated


def _matched(compiled: Any, text: str) -> str:
    match = compiled.search(text)
    if match is None:
        return ""
    groups = match.groups()
    if not groups:
        return str(match.group(0))
    return _GROUP_SEPARATOR.join(group for group in groups if group)


def _text(params: Mapping[str, Any], key: str, name: str) -> str:
    value = params.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"Partition.{name} is not text: {value!r}")
    return value


def _count(params: Mapping[str, Any], key: str, name: str) -> int:
    value = params.get(key)
    if value is None or value == "":
        return 0
    try:
        number = int(value)
        whole = not isinstance(value, bool) and number == float(value)
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise BadRequest(f"Partition.{name} is not a whole number: {value!r}")
    return number
