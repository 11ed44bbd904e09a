"""Parts of a spec as the short text that means exactly them, if there is one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from bacalhau_jupyter.client.inputs.uri import DEFAULT_TARGET, parse_output, parse_publisher, parse_reference
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.lib.masking import masked_value
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.goduration import format_go_duration
from bacalhau_jupyter.models.jobs.selector import parse_selector
from bacalhau_jupyter.models.jobs.spec import Constraint, InputSource, ResultPath, SpecConfig, replace
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.text import is_readable, readable

_SAFE = "/*[]=@+-._~!()"
"""Characters of a key or path that mean themselves in an address of ``-i``."""
_LONGEST = 200
"""Characters of a short form; what is longer is named, not written."""


def input_text(item: InputSource) -> str | None:
    """Return what ``-i`` takes for an input; None where no short form means it."""
    address = _address(item.source)
    if address is None:
        return None
    for text in _input_forms(address, item):
        try:
            # The alias is a name only: the short form gives one of its own.
            if replace(parse_reference(text), alias=item.alias) == item:
                return text
        except BacalhauError:
            continue
    return None


def _input_forms(address: tuple[str, dict[str, str]], item: InputSource) -> list[str]:
    uri, options = address
    extra = [f"opt={name}={value}" for name, value in options.items()]
    short = uri if item.target == DEFAULT_TARGET else f"{uri}:{item.target}"
    forms = [_csv([short, *extra])]
    if item.target != DEFAULT_TARGET:
        forms.append(_csv([f"src={uri}", f"dst={item.target}", *extra]))
    return [text for text in forms if len(text) <= _LONGEST and is_readable(text)]


def input_name(item: InputSource) -> str:
    """Say in a few words what an input without a short form is."""
    kind = readable(item.source.type) or "untyped"
    alias = item.alias if item.alias and not item.alias.startswith("data:") else ""
    data = item.source.param("URL", "")
    size = ""
    if item.source.is_type("inline") and isinstance(data, str):
        size = format_bytes(len(data.partition(",")[2]) * 3 // 4)
    words = [kind, size, _cut(readable(alias)), f"→ {_cut(readable(item.target))}"]
    return " ".join(word for word in words if word)


def _address(source: SpecConfig) -> tuple[str, dict[str, str]] | None:
    params = source.params
    if not all(isinstance(value, str | bool | dict) for value in params.values()):
        return None
    if source.type == "s3":
        options = {name.lower(): value for name, value in params.items() if name not in ("Bucket", "Key")}
        if "checksumsha256" in options:
            options["checksum-256"] = options.pop("checksumsha256")
        if "partition" in options:
            partition = _partition(options.pop("partition"))
            if partition is None:
                return None
            options["partition"] = partition
        key = quote(str(params.get("Key", "")), safe=_SAFE)
        return f"s3://{params.get('Bucket', '')}/{key}", _texts(options)
    if source.type == "localDirectory":
        path = quote(str(params.get("SourcePath", "")), safe=_SAFE)
        return f"file://{path}", ({"rw": "true"} if params.get("ReadWrite") is True else {})
    if source.type == "ipfs":
        return f"ipfs://{params.get('CID', '')}", {}
    if source.type == "urlDownload":
        return str(params.get("URL", "")), {}
    return None


def _partition(value: Any) -> str | None:
    """Return what ``opt=partition=`` takes."""
    if not isinstance(value, dict):
        return None
    kind = str(value.get("Type", ""))
    settings = {
        "regex": value.get("Pattern"),
        "date": value.get("DateFormat"),
        "substring": f"{value.get('StartIndex')}-{value.get('EndIndex')}",
    }
    return f"{kind}:{settings[kind]}" if kind in settings else kind


def _texts(options: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in options.items()}


def publisher_text(publisher: SpecConfig) -> str | None:
    """Return what ``-p`` takes for a publisher; empty for none, None where no short form means it."""
    if publisher == SpecConfig():
        return ""
    params = folded(publisher.params)
    texts = [publisher.type]
    if publisher.type == "s3":
        if not all(isinstance(value, str) for value in params.values()):
            return None
        key = quote(str(params.get("key", "")), safe=_SAFE + "{}")
        rest = [f"opt={name}={value}" for name, value in params.items() if name not in ("bucket", "key")]
        texts = [_csv([f"s3://{params.get('bucket', '')}/{key}", *rest])]
    text = texts[0]
    if len(text) > 2 * _LONGEST or not is_readable(text):
        return None
    try:
        parsed = parse_publisher(text)
    except BacalhauError:
        return None
    # Readers of parameters ignore case.
    return text if parsed.type == publisher.type and folded(parsed.params) == params else None


def output_line(item: ResultPath) -> str | None:
    """Return what ``-o`` takes for a result path."""
    line = f"{item.name}:{item.path}"
    if line != line.strip() or not is_readable(line):
        return None
    try:
        return line if parse_output(line) == item else None
    except BacalhauError:
        return None


def pair_line(name: str, value: str, *, is_secret: bool = False) -> str | None:
    """Return ``NAME=VALUE``, masked where it may be a secret; None where a line can't say it."""
    line = f"{name}={value}"
    if not name or name != name.strip() or "=" in name or value != value.strip() or not is_readable(line):
        return None
    return f"{name}={masked_value(name, value)}" if is_secret else line


def selector_text(constraints: Sequence[Constraint]) -> str | None:
    """Return the selector that means exactly these constraints."""
    parts = [_requirement(item) for item in constraints]
    text = ",".join(parts)
    try:
        is_exact = is_readable(text) and parse_selector(text) == list(constraints)
    except BacalhauError:
        return None
    return text if is_exact else None


def _requirement(item: Constraint) -> str:
    match item.operator:
        case "exists":
            return item.key
        case "!":
            return f"!{item.key}"
        case "in" | "notin":
            return f"{item.key} {item.operator} ({','.join(item.values)})"
        case operator:
            sign = {"gt": ">", "lt": "<"}.get(operator, operator)
            return f"{item.key}{sign}{','.join(item.values)}"


def words_text(words: Any) -> str | None:
    """Return words as a shell writes them; None for anything but a list of texts."""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    text = shlex.join(words)
    if not is_readable(text):
        return None
    return text if shlex.split(text) == words else None


def duration_text(seconds: int) -> str:
    """Write seconds as a person would: ``90s`` is ``1m30s``, ``86400`` is ``24h``; empty for none."""
    if not seconds:
        return ""
    text = format_go_duration(seconds)
    text = text.removesuffix("0s") if text.endswith("m0s") else text
    return text.removesuffix("0m") if text.endswith("h0m") else text


def _csv(fields: Sequence[str]) -> str:
    return ",".join(
        f'"{text.replace(chr(34), 2 * chr(34))}"' if {",", '"'} & set(text) else text for text in fields
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
