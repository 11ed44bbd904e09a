"""Captured files, and strategies that make any wire model."""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

DATA = Path(__file__).parents[1] / "data"
REST = DATA / "rest-captures"
NCL = DATA / "ncl-captures"


def load(path: Path) -> Any:
    """Return a capture's JSON."""
    return json.loads(path.read_text())


def ncl_bytes(name: str) -> bytes:
    """Return the captured bytes of one NCL message."""
    return base64.b64decode(load(NCL / f"{name}.json")["raw_base64"])


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_INT = st.integers(-(2**63), 2**63 - 1)
_LEAF = st.one_of(st.none(), st.booleans(), _INT, _TEXT)
_ANY = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3)
)


@functools.cache
def instances(kind: type) -> st.SearchStrategy[Any]:
    """Make instances of a wire model with arbitrary members."""
    return _strategy(msgspec.inspect.type_info(kind))


def _strategy(info: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            members = {field.name: _strategy(field.type) for field in fields}
            return st.fixed_dictionaries({}, optional=members).map(lambda members: cls(**members))
        case msgspec.inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case msgspec.inspect.UnionType(types=types):
            return st.one_of([_strategy(part) for part in types])
        case msgspec.inspect.ListType(item_type=item):
            return st.lists(_strategy(item), max_size=2)
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_strategy(key), _strategy(value), max_size=2)
        case msgspec.inspect.StrType():
            return _TEXT
        case msgspec.inspect.IntType():
            return _INT
        case msgspec.inspect.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.AnyType():
            return _ANY
    raise AssertionError(f"no strategy for {info}")


def mangled(plain: Any, kind: type, draw: st.DataObject) -> Any:
    """Rewrite a model's JSON as a sloppy peer might: any case in member names, nulls for absent members, extras."""
    return _mangle(plain, msgspec.inspect.type_info(kind), draw)


def _mangle(plain: Any, info: msgspec.inspect.Type, draw: st.DataObject) -> Any:
    if plain is None:
        return None
    if isinstance(info, msgspec.inspect.UnionType):
        info = next(part for part in info.types if not isinstance(part, msgspec.inspect.NoneType))
    if isinstance(info, msgspec.inspect.StructType):
        sloppy = {"X-Unknown": draw.draw(_LEAF)}
        for field in info.fields:
            name = field.encode_name
            shown = draw.draw(st.sampled_from([name, name.lower(), name.upper()]))
            if name in plain:
                sloppy[shown] = _mangle(plain[name], field.type, draw)
            elif draw.draw(st.booleans()):
                sloppy[shown] = None
        return sloppy
    if isinstance(info, msgspec.inspect.ListType):
        return [_mangle(item, info.item_type, draw) for item in plain]
    if isinstance(info, msgspec.inspect.DictType):
        return {key: _mangle(item, info.value_type, draw) for key, item in plain.items()}
    return plain
