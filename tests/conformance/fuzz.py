"""Requests made from the contract by chance; the same seed and number always give the same request."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.conformance.bodies import BODIES, WORDS
from tests.conformance.contract import ROUTES, Route
from tests.conformance.values import HOSTILE_TEXT, VALUES

NUMBERS: list[Any] = [0, 1, -1, 2**31, 2**63, 2**64, -(2**63), 10**30, 1.5, 1e308, True, False, None]
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH")
HEADERS = ("X-Request-ID", "X-Bacalhau-Git-Version", "X-Bacalhau-InstanceID", "Range", "Accept", "If-Range")
HEADER_VALUES = ("", "v1.9.3", "junk", "bytes=0-", "bytes=9-1", "x" * 2000, "ÿþ", "é")
CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-8",
    "text/plain",
    "application/jsonx",
    "",
    ";",
    "a/b/c",
)
RAW = (
    b"",
    b" ",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"{",
    b"{]",
    b"\xff\xfe",
    b"[" * 5000,
    b'{"Job":' * 500,
    b'{"a":1,"a":2}',
    b"1e999",
    b'{"Job":{"Tasks":[' + b"{}," * 2000 + b"{}]}}",
    b"NaN",
    b"-",
    b'{"Job":{"Name":"\\ud800"}}',
    b"\x00",
    b"{}{}",
)


@dataclass
class Request:
    """What is sent."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.target[:300]} {self.headers} {(self.body or b'')[:2000]!r}"


class Requests:
    """Makes requests.

    Parameters
    ----------
    seed
        Chooses them all.
    known
        Kind → values that exist on the node; may grow meanwhile.
    """

    def __init__(self, seed: int, names_by_kind: dict[str, list[str]]) -> None:
        self._seed = seed
        self._names_by_kind = names_by_kind
        self._routes = [route for route in ROUTES for _ in range(route.weight)]

    def make(self, number: int) -> Request:
        """Return request ``number``."""
        chance = random.Random(f"{self._seed} {number}")
        route = chance.choice(self._routes)
        target = "".join(self._path(chance, route.path)) + self._query(chance, route)
        request = Request(route.method if chance.random() < 0.95 else chance.choice(METHODS), target)
        if route.body and chance.random() < 0.97:
            request.body = self._body(chance, route.body)
            request.headers["Content-Type"] = (
                "application/json" if chance.random() < 0.95 else chance.choice(CONTENT_TYPES)
            )
        if chance.random() < 0.05:
            name = chance.choice(
                [
                    "X-Request-ID",
                    "X-Bacalhau-Git-Version",
                    "X-Bacalhau-InstanceID",
                    "Range",
                    "Accept",
                    "If-Range",
                ]
            )
            request.headers[name] = chance.choice(
                ["", "v1.9.3", "junk", "bytes=0-", "bytes=9-1", "x" * 2000, "ÿþ", "é"]
            )
        if chance.random() < 0.03 and request.body is None:
            request.headers |= {
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Version": "13",
            }
        return request

    def _value(self, chance: random.Random, kind: str) -> str:
        known = self._names_by_kind.get(kind, [])
        if known and chance.random() < 0.6:
            value = chance.choice(known[-200:])
            return value if chance.random() < 0.8 else value[: chance.randrange(len(value) + 1)]
        shared = next(iter(self._names_by_kind.get("shared", [])), "tmp")
        return chance.choice(VALUES[kind]).replace("{shared}", shared)

    def _path(self, chance: random.Random, path: str) -> Iterator[str]:
        for part in path.split("{"):
            kind, brace, rest = part.partition("}")
            if not brace:
                yield part
                continue
            value = self._value(chance, kind)
            # A dot segment would be resolved before it is sent.
            yield _quoted(value).replace(".", "%2E") + rest

    def _query(self, chance: random.Random, route: Route) -> str:
        chosen = [name for name in route.query if chance.random() < 0.35]
        pairs = [f"{_quoted(name)}={_quoted(self._value(chance, route.query[name]))}" for name in chosen]
        if chance.random() < 0.05:
            pairs.append(f"{_quoted(chance.choice(HOSTILE_TEXT))}={_quoted(chance.choice(HOSTILE_TEXT))}")
        if chance.random() < 0.05 and pairs:
            pairs.append(pairs[0])
        return "?" + "&".join(pairs) if pairs else ""

    def _body(self, chance: random.Random, kind: str) -> bytes:
        if chance.random() < 0.05:
            return chance.choice(RAW)
        body = copy.deepcopy(BODIES[kind])
        for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
            self._mutate(chance, body)
        if kind == "submit" and isinstance(body.get("Job"), dict) and chance.random() < 0.3:
            body["Job"]["Name"] = chance.choice(["named", f"other-{chance.randrange(50)}"])
        text = json.dumps(body)
        if chance.random() < 0.03:
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice(["", "\0", '"', "{", "\\", "\\u", "]"]) + text[at + 1 :]
        return text.encode()

    def _mutate(self, chance: random.Random, body: dict[str, Any]) -> None:
        """Change one member somewhere."""
        places = list(_places(body))
        if not places:
            return
        holder, key = chance.choice(places)
        match chance.randrange(8):
            case 0:
                del holder[key]
            case 1:
                holder[key] = chance.choice(NUMBERS)
            case 2 | 3:
                holder[key] = chance.choice(HOSTILE_TEXT)
            case 4 | 5:
                holder[key] = chance.choice(WORDS)
            case 6:
                holder[key] = chance.choice(
                    [[], {}, [None], [[]], {"": ""}, [{}], {"a": {"b": [1]}}, [1, "a"]]
                )
            case _ if isinstance(holder, dict):
                holder[chance.choice([key.swapcase(), key.lower(), f" {key}", *HOSTILE_TEXT[:8]])] = holder[
                    key
                ]
            case _:
                holder.append(copy.deepcopy(holder[key]))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in list(items):
        yield value, key
        yield from _places(below)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")
