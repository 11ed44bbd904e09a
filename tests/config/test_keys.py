"""The table of keys."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.config.keys import KEYS, SECTIONS, find_key, zero
from bacalhau_jupyter.config.parsing import parse_value

OFFICIAL = 130


def test_every_official_key_is_known() -> None:
    assert sum(not key.ours for key in KEYS.values()) == OFFICIAL


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_found_in_any_case_and_explained(name: str) -> None:
    key = KEYS[name]
    assert find_key(name.lower()) is find_key(name.upper()) is key
    assert key.meaning
    assert key.variable == f"BACALHAU_{name.upper().replace('.', '_')}"
    assert type(key.default) is type(zero(key.kind))
    assert parse_value(key, key.default) == key.default


def test_no_key_is_also_a_section_and_no_two_keys_share_a_variable() -> None:
    assert not SECTIONS & {name.lower() for name in KEYS}
    assert len({key.variable for key in KEYS.values()}) == len(KEYS)


def test_the_api_listens_on_loopback_by_default() -> None:
    assert KEYS["API.Host"].default == "127.0.0.1"
