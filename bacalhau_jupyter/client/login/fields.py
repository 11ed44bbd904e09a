"""What a cluster's login asks a person for: the fields of its schema, none of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.client.login import COMPONENT
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.text import is_readable

MOST_FIELDS = 20
LONGEST_NAME = 100


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes
    ----------
    name
        The property's name, which is its label, too.
    is_secret
        Whether what is typed must not be seen.
    """

    name: str
    is_secret: bool


def fields_of(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """Return the required properties of a JSON schema, in its order.

    Raises
    ------
    BacalhauError
        The schema asks for something that can't be typed.
    """
    properties, required = schema.get("properties"), schema.get("required")
    properties = {} if properties is None else properties
    names = [] if required is None else required
    if not isinstance(properties, Mapping) or not isinstance(names, list) or len(names) > MOST_FIELDS:
        raise _unusable("its schema is not one that a client knows")
    return tuple(_field(name, properties) for name in names)


def _field(name: object, properties: Mapping[str, Any]) -> Field:
    if not isinstance(name, str) or not name or len(name) > LONGEST_NAME or not is_readable(name):
        raise _unusable("a field has no readable name")
    described = properties.get(name)
    if not isinstance(described, Mapping):
        raise _unusable(f'it does not describe the field "{name}"')
    kinds = described.get("type")
    kind = kinds[0] if isinstance(kinds, list) and kinds else kinds
    if kind not in ("string", "number", "integer", "boolean"):
        raise _unusable(f'the field "{name}" is not a text')
    return Field(name, described.get("writeOnly") is True or described.get("format") == "password")


def _unusable(why: str) -> BacalhauError:
    return BacalhauError(f"this cluster's login can't be shown: {why}", component=COMPONENT)
