"""What surrounds a policy: one module of ours that asks it, and the functions that an engine leaves to us.

An engine can't call back. So a call such as ``scrypt(password, salt)`` is renamed to a function of our module, which
looks its value up in the input, and where the value is missing it fails with the arguments in the error. The host
computes the value, puts it into the input, and asks again.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import quote_plus, unquote_plus

from bacalhau_jupyter.auth.policies import words
from bacalhau_jupyter.auth.policies.files import Policy
from bacalhau_jupyter.auth.policies.jwts import decode_verify
from bacalhau_jupyter.config.passwords import scrypt_hash

PACKAGE = "bacalhau_jupyter_host"
"""Our module's package, and the member of the input that holds computed values."""

DECISION, TOKEN, SCHEMA = "decision", "token", "schema"
"""The rules of our module."""

MOST_VALUES = 32
"""Values that one question may have computed; each costs an evaluation, and scrypt a tenth of a second."""

_MOST_YAML = 1 << 16
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_DATE = "tag:yaml.org,2002:timestamp"
_MARK = "bacalhau_jupyter_asks"

# Booleans are made here: engines differ in how they print texts that a caller chose.
_ASKING = f"""package {PACKAGE}
import rego.v1

{DECISION}["allow"] := true if data.bacalhau.authz.allow == true
{DECISION}["allow_type"] := type_name(data.bacalhau.authz.allow)
{DECISION}["token_valid"] := true if data.bacalhau.authz.token_valid == true
{DECISION}["token_valid_type"] := type_name(data.bacalhau.authz.token_valid)

valid["token_valid"] := true if data.bacalhau.authz.token_valid == true

{TOKEN}["base64"] := base64.encode(data.bacalhau.authn.token)

{SCHEMA} := data.bacalhau.authn.schema
"""
VALID = "valid"
"""Whether the token alone is valid: asked where the decision failed."""

_LOOKING_UP = f"""
look_up(key) := input.{PACKAGE}[key][0]
look_up(key) := to_number(key) if not input.{PACKAGE}[key]
"""

HostFunction = Callable[..., object]


def scrypt(password: str, salt: str) -> str:
    """Return what the official ``scrypt`` of policies returns.

    Raises
    ------
    ValueError
        The salt is not base64.
    """
    hashed = scrypt_hash(password.encode(), base64.b64decode(salt, validate=True))
    return base64.b64encode(hashed).decode()


def _yaml(text: str) -> object:
    import yaml  # On use: most policies need none.

    if text.startswith("{"):
        # JSON is YAML, and much quicker to read as what it is.
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(text)
    if len(text) > _MOST_YAML:
        raise ValueError("too much YAML")

    class Plain(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Leaves dates as text, as JSON has them."""

    Plain.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        # A few lines of aliases can stand for gigabytes, or for themselves.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Plain)):
            raise ValueError("aliases")
        return yaml.load(text, Plain)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError("not YAML") from error


def _query_decoded(text: str) -> str:
    if any(len(part) < 2 or not set(part[:2]) <= _HEXADECIMAL for part in text.split("%")[1:]):
        raise ValueError("an escape")
    return unquote_plus(text, errors="strict")


def _base64_decoded(text: str) -> str:
    return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True).decode()


def _base64url_decoded(text: str) -> str:
    padded = text if "=" in text else text + "=" * (-len(text) % 4)
    return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode()


def _decode_verify(token: str, constraints: str) -> object:
    """Take the constraints as our module writes them: name, kind and value of each, in base64."""
    values: dict[str, object] = {}
    for item in constraints.split():
        name, kind, value = (base64.b64decode(it).decode() for it in item.split(":"))
        values[name] = value if kind == "string" else json.loads(value)
    return decode_verify(token, values, time.time_ns())


def written_constraints(constraints: Mapping[str, object]) -> str:
    """Write constraints as our module does."""
    items = (
        ":".join(base64.b64encode(it.encode()).decode() for it in (name, "string", str(value)))
        for name, value in constraints.items()
    )
    return " ".join(sorted(items))


def _nanoseconds(text: str) -> int:
    whole, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    moment = datetime.fromisoformat(whole + rest[len(digits) :])
    if moment.tzinfo is None or (dot and not digits):
        raise ValueError("no RFC 3339 time")
    return int(moment.timestamp()) * 10**9 + int(digits[:9].ljust(9, "0"))


SCRYPT: Mapping[str, HostFunction] = {"scrypt": scrypt}
"""What no engine but the official node has."""

FOR_BUILT_IN: Mapping[str, HostFunction] = {
    **SCRYPT,
    # The built-in engine never returns from yaml.unmarshal("").
    "yaml.unmarshal": _yaml,
    "io.jwt.decode_verify": _decode_verify,
    "urlquery.encode": quote_plus,
    "urlquery.decode": _query_decoded,
    "base64.decode": _base64_decoded,
    "base64url.decode": _base64url_decoded,
    "time.parse_rfc3339_ns": _nanoseconds,
}
"""What the built-in engine lacks, or does otherwise than the official one."""

_PARAMETERS = {"scrypt": ("first", "second"), "io.jwt.decode_verify": ("first", "host_items(second)")}
# Its own json.marshal does not escape texts.
_WRITING_ITEMS = """
host_items(constraints) := concat(" ", sort([item |
	value := constraints[name]
	kind := type_name(value)
	kind in {"string", "number"}
	item := concat(":", [base64.encode(name), base64.encode(kind), base64.encode(sprintf("%v", [value]))])
])) if not host_odd(constraints)
host_odd(constraints) if {
	some value in constraints
	not type_name(value) in {"string", "number"}
}
"""


def modules(
    policy: Policy, functions: Mapping[str, HostFunction], *, keep_escapes: bool = True
) -> list[tuple[str, str]]:
    """Return the modules to load: the policy with its calls renamed, and ours.

    Parameters
    ----------
    functions
        What is left to us.
    keep_escapes
        Whether texts may stay as they are spelled.
    """
    ours = {name: f"host_{name.replace('.', '_')}" for name in functions}
    names = {name: f"data.{PACKAGE}.{function}" for name, function in ours.items()}
    renamed: list[tuple[str, str]] = []
    texts: dict[str, str] = {}
    for file, module in policy.modules:
        plain, its_texts = (module, {}) if keep_escapes else words.without_escapes(module, PACKAGE)
        texts |= its_texts
        renamed.append((file, words.renamed(plain, names)))
    called = words.calls(policy.text)
    text = _ASKING + _LOOKING_UP + (_WRITING_ITEMS if "io.jwt.decode_verify" in functions else "")
    for name, function in ours.items():
        if name in called:
            parameters = _PARAMETERS.get(name, ("first",))
            encoded = ", ".join(f"base64.encode({it})" for it in parameters)
            names_only = ", ".join(("first", "second")[: len(parameters)])
            text += f'{function}({names_only}) := look_up(concat(",", ["{_MARK}", "{name}", {encoded}]))\n'
    for name, value in texts.items():
        encoded = base64.b64encode(value.encode("utf-8", "replace")).decode()
        text += f'{name} := base64.decode("{encoded}")\n'
    return [*renamed, (f"{PACKAGE}.rego", text)]


def asked_value(key: str, functions: Mapping[str, HostFunction]) -> object | None:
    """Compute the value that our module asked for, in a list; None where ``key`` is no such question.

    Raises
    ------
    ValueError
        The function has no value for these arguments.
    """
    mark, *parts = key.split(",")
    if mark != _MARK or len(parts) < 2 or parts[0] not in functions:
        return None
    try:
        arguments = [base64.b64decode(part, validate=True).decode() for part in parts[1:]]
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("arguments are no text") from error
    return [functions[parts[0]](*arguments)]


def question(name: str, *arguments: str) -> str:
    """Return what our module asks when it needs a value of a function."""
    encoded = (base64.b64encode(it.encode()).decode() for it in arguments)
    return ",".join((_MARK, name, *encoded))


def question_in(text: str) -> str:
    """Return the question of our module that an error message quotes; empty where it quotes none."""
    start = text.find(_MARK + ",")
    if start < 0:
        return ""
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] in "_.,+/="):
        end += 1
    return text[start:end]
