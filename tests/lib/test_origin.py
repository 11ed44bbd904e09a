"""The component that an error names when nobody says it."""

import sys
from types import ModuleType
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, ValidationError


@pytest.fixture
def raised_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes an error by the code of a module ``room.part`` of our own."""
    room, part = ModuleType("room"), ModuleType("room.part")
    monkeypatch.setitem(sys.modules, "room", room)
    monkeypatch.setitem(sys.modules, "room.part", part)

    def make(kind: type[BacalhauError], *, of_room: object = None, of_part: object = None) -> str:
        room.__dict__.update(COMPONENT=of_room)
        part.__dict__.update(COMPONENT=of_part, kind=kind)
        exec("def fail():\n    return kind('it broke')", part.__dict__)
        return str(part.__dict__["fail"]().component)

    return make


@pytest.mark.parametrize("kind", [BadRequest, ValidationError])
def test_an_error_names_the_component_of_its_room(raised_in: Any, kind: type[BacalhauError]) -> None:
    assert raised_in(kind, of_room="Room") == "Room"


def test_a_module_may_say_otherwise(raised_in: Any) -> None:
    assert raised_in(BadRequest, of_room="Room", of_part="Part") == "Part"


def test_what_is_not_a_name_does_not_count(raised_in: Any) -> None:
    assert raised_in(BadRequest, of_room=3, of_part=object()) == "Bacalhau"


def test_an_error_that_says_its_component_keeps_it() -> None:
    assert BadRequest("it broke", component="Mine").component == "Mine"
