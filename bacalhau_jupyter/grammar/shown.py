"""How a job spec is shown to people: the code it runs, its inputs by name, and no secret.

Nothing is shown in base64: files that travel inside the spec appear with their names and sizes, the body of a cell as
its text. The exact spec is what ``--output json|yaml`` and ``--dry-run --exact`` print.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.lib.masking import MASK, mask_secrets, masked_value
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.transfer.archive.data_urls import decode_data_url

BODIES = ("cell.py", "cell.sh", "cell.sql", "cell.wat")
"""Files of a kit that hold what a person wrote; the others run it."""

_UNPACKED_LIMIT = 4 * 1024 * 1024
_FILES_LIMIT = 200
_BODY_LIMIT = 20_000
"""Characters of a body that are shown."""
_TEXT_LIMIT = 400
"""Characters of any other text in a spec that are shown."""
_KIT = ".bacalhau"
_VARIABLE = re.compile(r"(\s*)([A-Z][A-Z0-9_]*): (.+)")
"""An environment variable in YAML: validation wants its name in capitals, which no member of a spec is."""


def without_secrets(plain: Any) -> Any:
    """Return a record in which values of variables whose names look secret are masked, wherever they stand."""
    if isinstance(plain, Mapping):
        return {key: _member(str(key), value) for key, value in plain.items()}
    return [without_secrets(item) for item in plain] if isinstance(plain, list) else plain


def for_people(plain: Any) -> Any:
    """Return a spec as people read it: without secrets, and with files by name in place of their encoded data."""
    return _shortened(without_secrets(plain))


def diff_for_people(text: str) -> str:
    """Return a diff of two specs without secrets and long encoded data."""
    lines: list[str] = []
    depth = None
    for line in text.split("\n"):
        mark, rest = line[:1], line[1:]
        indent = len(rest) - len(rest.lstrip())
        if depth is not None and (not rest.strip() or indent > depth):
            # A further line of a value that is masked.
            continue
        variable = _VARIABLE.fullmatch(rest)
        value = masked_value(variable[2], variable[3]) if variable else ""
        depth = indent if value == MASK else None
        lines.append(mark + (f"{variable[1]}{variable[2]}: {_text(value)}" if variable else _text(rest)))
    return "\n".join(lines)


def code_of(plain: Mapping[str, Any]) -> str:
    """Return the body that a job's spec carries; empty where there is none."""
    for task in plain.get("Tasks") or []:
        for source in task.get("InputSources") or []:
            if str(source.get("Target", "")).endswith(_KIT):
                url = ((source.get("Source") or {}).get("Params") or {}).get("URL", "")
                for name, data in _files(url).items():
                    if name in BODIES:
                        return _body(data)
    return ""


def inputs_of(plain: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, target and type of each input of a job's spec, without the files that run a cell's body."""
    return [
        (
            _text(str(source.get("Alias", ""))),
            str(source.get("Target", "")),
            str((source.get("Source") or {}).get("Type", "")),
        )
        for task in plain.get("Tasks") or []
        for source in task.get("InputSources") or []
        if not str(source.get("Target", "")).endswith(_KIT)
    ]


def _member(key: str, value: Any) -> Any:
    if key == "Env" and isinstance(value, Mapping):
        return {
            name: masked_value(str(name), text) if isinstance(text, str) else text
            for name, text in value.items()
        }
    if key == "EnvironmentVariables" and isinstance(value, list):
        return [_masked_pair(item) if isinstance(item, str) else item for item in value]
    return without_secrets(value)


def _masked_pair(text: str) -> str:
    name, equals, value = text.partition("=")
    return f"{name}={masked_value(name, value)}" if equals else text


def _shortened(plain: Any) -> Any:
    if isinstance(plain, Mapping):
        is_inline = str(plain.get("Type", "")).lower() == "inline" and isinstance(
            plain.get("Params"), Mapping
        )
        if is_inline:
            return {**plain, "Params": _inline(plain["Params"])}
        return {key: _shortened(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_shortened(item) for item in plain]
    return _text(plain) if isinstance(plain, str) else plain


def _inline(params: Mapping[str, Any]) -> dict[str, Any]:
    """Show what an inline input holds."""
    url = next((value for key, value in params.items() if str(key).lower() == "url"), "")
    if not isinstance(url, str):
        return dict(params)
    files = _files(url)
    if files:
        bodies = {name: _body(data) for name, data in files.items() if name in BODIES}
        others = {
            readable(shown(name)): _size(len(data)) for name, data in files.items() if name not in BODIES
        }
        runs = {
            name: size for name, size in others.items() if not bodies or name.startswith(("in/", "modules/"))
        }
        return {"Files": {**bodies, **runs}}
    try:
        return {"Data": _size(len(decode_data_url(url).data))}
    except BacalhauError:
        return {"Data": _text(url)}


def _files(url: str) -> dict[str, bytes]:
    """Return the files of an inline archive; none if it isn't one, or holds more than anybody would read."""
    try:
        data = decode_data_url(url)
        if not data.is_archive:
            return {}
        with gzip.GzipFile(fileobj=io.BytesIO(data.data)) as packed:
            unpacked = packed.read(_UNPACKED_LIMIT + 1)
        if len(unpacked) > _UNPACKED_LIMIT:
            return {}
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
            members = [item for item in archive if item.isreg() and not item.issparse()][:_FILES_LIMIT]
            return {member.name: _content(archive, member) for member in members}
    except (BacalhauError, OSError, EOFError, ValueError, tarfile.TarError):
        return {}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file is not None else b""


def _body(data: bytes) -> str:
    """Return a body as its author wrote it: the empty lines above, which keep line numbers, are left out."""
    text = data.decode(errors="replace").strip("\n")
    return text if len(text) <= _BODY_LIMIT else f"{text[:_BODY_LIMIT]}\n{_size(len(data))}"


def _size(count: int) -> str:
    return f"… {format_bytes(count)}"


def _text(text: str) -> str:
    masked = mask_secrets(text)
    head, encoded, data = masked.partition(";base64,")
    if encoded:
        return f"{head}{encoded}{_size(len(data))}"
    return (
        masked
        if len(masked) <= _TEXT_LIMIT or "\n" in masked
        else f"{masked[:_TEXT_LIMIT]}{_size(len(text))}"
    )
