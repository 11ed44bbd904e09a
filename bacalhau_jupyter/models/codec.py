"""JSON on the wire: exact names out, lenient names in.

Bacalhau's peers are Go programs: they match member names case-insensitively, ignore unknown members and
treat ``null`` as "not given". `decode` does the same for typed models; `encode` writes the exact names.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, TypeVar, cast, dataclass_transform

import msgspec

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.names import is_text, shown, to_wire

T = TypeVar("T")

_ACRONYMS = {"id": "ID", "cpu": "CPU", "gpu": "GPU", "gpus": "GPUs", "url": "URL", "os": "OS", "pci": "PCI"}


def wire_name(name: str) -> str:
    """Turn ``job_id`` into ``JobID`` and ``create_time`` into ``CreateTime``."""
    return "".join(_ACRONYMS.get(part, part.capitalize()) for part in name.split("_"))


def always(default: T, name: str | None = None) -> T:
    """Declare a default that is written to JSON even when the member still has it.

    Lists and dicts are copied for each instance. ``name`` overrides the wire name.
    """
    # msgspec leaves out what the builtins list and dict make; what any other function makes is written.
    factory: Any = default.copy if isinstance(default, (list, dict)) else lambda: default
    field: T = msgspec.field(default_factory=factory, name=name)
    return field


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=wire_name):
    """Base of all wire models: immutable, keyword-only, empty members left out.

    A member that must be written even when empty gets its default through `always`.
    """


def encode(value: object) -> bytes:
    """Encode a model (or any plain data) as compact JSON; names that are not text get the form of `models.names`."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_as_text(msgspec.to_builtins(value)))


def require_text(value: object) -> None:
    """Check that UTF-8 can hold every text in a model or plain data.

    Raises
    ------
    BadRequest
        It can't; the member is named.
    """
    pending: list[tuple[str, Any]] = [("", msgspec.to_builtins(value))]
    while pending:
        path, item = pending.pop()
        if isinstance(item, dict):
            for key, member in item.items():
                pending.append((f"{path}.{key}", member))
                pending.append((f"a name in {path or 'it'}", key))
        elif isinstance(item, list):
            pending += [(f"{path}[{number}]", member) for number, member in enumerate(item)]
        elif isinstance(item, str) and not is_text(item):
            raise not_text(path.removeprefix("."), item)


def not_text(what: str, value: str) -> BadRequest:
    """Return the error for a value that is not text."""
    return BadRequest(
        f"{what} is not text: '{shown(value[:80])}' is not UTF-8",
        hint="name the file's directory instead: a directory may hold such a file",
        component="Codec",
    )


def _as_text(value: Any) -> Any:
    if isinstance(value, str):
        return value if is_text(value) else to_wire(value)
    if isinstance(value, dict):
        return {_as_text(key): _as_text(item) for key, item in value.items()}
    return [_as_text(item) for item in value] if isinstance(value, list) else value


def to_plain(value: object) -> Any:
    """Turn a model into plain dicts and lists with wire names (for YAML and templates)."""
    return msgspec.to_builtins(value)


def decode(data: bytes | str, kind: type[T], what: str = "body") -> T:
    """Decode JSON text into a model, leniently.

    Parameters
    ----------
    data
        JSON text.
    kind
        The model class (or any type msgspec knows).
    what
        What the text is, for the error's sentence.

    Raises
    ------
    BadRequest
        Not JSON, or a member has the wrong JSON type; the member's path is named.
    """
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadRequest(f"the {what} is not valid JSON: {error}", component="Codec") from error
    except RecursionError as error:
        raise BadRequest(f"the {what} is nested too deeply", component="Codec") from error
    return convert(plain, kind, what)


def decode_exact(data: bytes | str, kind: type[T]) -> T:
    """Decode JSON that this program wrote itself: exact names, several times faster than `decode`."""
    value: T = _decoder(cast(Hashable, kind)).decode(data)
    return value


def convert(plain: object, kind: type[T], what: str = "body") -> T:
    """Turn plain dicts and lists (from JSON or YAML) into a model, leniently.

    Raises
    ------
    BadRequest
        A member has the wrong type; the member's path is named.
    """
    try:
        return msgspec.convert(_fold(plain, _plan(cast(Hashable, kind))), kind)
    except msgspec.ValidationError as error:
        text = str(error)
        raise BadRequest(_type_error(text, what, _name_keys(plain, kind, text)), component="Codec") from error
    except RecursionError as error:
        raise BadRequest(f"the {what} is nested too deeply", component="Codec") from error


def members_of(kind: type[Wire]) -> list[str]:
    """Return the wire names of a model's members."""
    plan = _plan(cast(Hashable, kind))
    return [name for name, _, _ in plan.members.values()] if plan is not None and plan.members else []


def unknown_members(plain: object, kind: type[Wire]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each member of plain data that the model lacks, which `convert` leaves out.

    Yields
    ------
    tuple
        The path of the object it stands in, its name, and the names that exist there.
    """
    yield from _unknown(plain, _plan(cast(Hashable, kind)), "")


def other_spellings(plain: object, kind: type) -> Iterator[str]:
    """Yield the name of each member in plain data that `convert` takes, and that the model spells otherwise."""
    yield from _otherwise(plain, _plan(cast(Hashable, kind)))


def _otherwise(value: Any, plan: _Plan | None) -> Iterator[str]:
    if plan is None:
        return
    if plan.members is not None and isinstance(value, dict):
        for key, item in value.items():
            member = plan.members.get(str(key).lower())
            if member is not None:
                if member[0] != key:
                    yield str(key)
                yield from _otherwise(item, member[1])
    elif plan.item is not None and isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _otherwise(item, plan.item)


def _unknown(value: Any, plan: _Plan | None, path: str) -> Iterator[tuple[str, str, list[str]]]:
    if plan is not None and plan.members is not None and isinstance(value, dict):
        for key, item in value.items():
            member = plan.members.get(str(key).lower())
            if member is None:
                yield path, str(key), [name for name, _, _ in plan.members.values()]
            else:
                yield from _unknown(item, member[1], f"{path}.{member[0]}".removeprefix("."))
    elif plan is not None and plan.item is not None:
        items = (
            value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
        )
        for key, item in items:
            yield from _unknown(item, plan.item, f"{path}[{key}]")


@functools.cache
def _decoder(kind: Hashable) -> Any:
    return msgspec.json.Decoder(kind)


def _name_keys(plain: object, kind: Any, text: str) -> list[str]:
    """Return the keys of maps that msgspec leaves out of a member's path (it writes ``[...]``), in order.

    Each is found by trying which of them, alone in its map, makes the same complaint.
    """
    keys: list[str] = []
    path = text.partition(" - at `$")[2].rstrip("`")
    folded = _fold(plain, _plan(cast(Hashable, kind)))
    steps = re.findall(r"\.([^.\[\]]+)|\[(\d+)\]|\[(\.\.\.)\]", path)
    value: Any = folded
    for member, index, unnamed in steps:
        try:
            if unnamed and isinstance(value, dict):
                key = _guilty(folded, kind, text, value)
                if key is None:
                    return keys
                keys.append(str(key))
                value = value[key]
            else:
                value = value[member] if member else value[int(index)]
        except (KeyError, IndexError, TypeError):
            return keys
    return keys


def _guilty(whole: Any, kind: Any, text: str, mapping: dict[Any, Any]) -> Any:
    """Return the key of ``mapping``, a part of ``whole``, at which converting ``whole`` fails with ``text``."""
    saved = dict(mapping)
    suspects = list(saved)

    def fails(keys: list[Any]) -> bool:
        mapping.clear()
        mapping.update((key, saved[key]) for key in keys)
        try:
            msgspec.convert(whole, kind)
        except msgspec.ValidationError as error:
            return str(error) == text
        return False

    try:
        # By halves: a map may be large.
        while len(suspects) > 1:
            half = len(suspects) // 2
            suspects = suspects[:half] if fails(suspects[:half]) else suspects[half:]
        return suspects[0] if suspects and fails(suspects) else None
    finally:
        mapping.clear()
        mapping.update(saved)


def _type_error(text: str, what: str, keys: Iterable[str] = ()) -> str:
    """Rephrase msgspec's sentence: name the member the way Bacalhau does, without the ``$``."""
    problem, _, path = text.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    for key in keys:
        field = field.replace("[...]", f"[{key}]", 1)
    return f"{what} has a wrong type at {field}: {problem}" if field else f"{what}: {problem}"


class _Plan:
    """How to fold one type: member names (lower case → exact, plan, may be null) or the item's plan."""

    __slots__ = ("item", "members")

    def __init__(self) -> None:
        self.members: dict[str, tuple[str, _Plan | None, bool]] | None = None
        self.item: _Plan | None = None


@functools.cache
def _plan(kind: Hashable) -> _Plan | None:
    return _plan_of(msgspec.inspect.type_info(kind), {})


def _plan_of(info: msgspec.inspect.Type, plans_of_types: dict[type, _Plan]) -> _Plan | None:
    if isinstance(info, msgspec.inspect.UnionType):
        plans = [_plan_of(part, plans_of_types) for part in info.types]
        return next((plan for plan in plans if plan is not None), None)
    if isinstance(info, msgspec.inspect.StructType):
        if info.cls in plans_of_types:
            return plans_of_types[info.cls]
        plan = plans_of_types[info.cls] = _Plan()
        plan.members = {
            field.encode_name.lower(): (
                field.encode_name,
                _plan_of(field.type, plans_of_types),
                _nullable(field.type),
            )
            for field in info.fields
        }
        return plan
    if isinstance(info, (msgspec.inspect.ListType, msgspec.inspect.VarTupleType)):
        return _container(_plan_of(info.item_type, plans_of_types))
    if isinstance(info, msgspec.inspect.DictType):
        return _container(_plan_of(info.value_type, plans_of_types))
    return None


def _container(item: _Plan | None) -> _Plan | None:
    if item is None:
        return None
    plan = _Plan()
    plan.item = item
    return plan


def _nullable(info: msgspec.inspect.Type) -> bool:
    if isinstance(info, (msgspec.inspect.AnyType, msgspec.inspect.NoneType, msgspec.inspect.RawType)):
        return True
    return isinstance(info, msgspec.inspect.UnionType) and any(_nullable(part) for part in info.types)


def _fold(value: Any, plan: _Plan | None) -> Any:
    if plan is None:
        return value
    if plan.members is not None and isinstance(value, dict):
        folded = {}
        for key, item in value.items():
            member = plan.members.get(str(key).lower())
            if member is not None and (item is not None or member[2]):
                folded[member[0]] = _fold(item, member[1])
        return folded
    if plan.item is not None:
        if isinstance(value, list):
            return [_fold(item, plan.item) for item in value]
        if isinstance(value, dict):
            return {key: _fold(item, plan.item) for key, item in value.items()}
    return value
