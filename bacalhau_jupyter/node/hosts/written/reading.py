"""Reads one entry of ``hosts.yaml`` as a person wrote it; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.models.codec import convert
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.jobs.units import parse_bytes
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.host_orders import AddHost
from bacalhau_jupyter.models.text import is_readable
from bacalhau_jupyter.node.hosts.naming import check_name
from bacalhau_jupyter.node.hosts.written.entries import MOST, VALUE_LIMIT, HostEntry, entry_of, wrong

_MEMBERS = ("url", "context", "tls", "ssh", "labels", "allocated", "gpus", "insecure", "paused", "removing")


def read_entry(name: str, raw: object) -> HostEntry:
    """Read what stands under a name in ``hosts.yaml``.

    Raises
    ------
    BadRequest
        Something in it is wrong; the member is named.
    """
    check_name(name)
    if isinstance(raw, str):
        # `gpu1: ssh://alice@gpu1` says it all.
        raw = {"url": raw}
    if not isinstance(raw, Mapping):
        raise wrong(name, "it is no mapping with a url or a context")
    members = {str(key).lower(): value for key, value in raw.items()}
    unknown = [str(key) for key in raw if str(key).lower() not in _MEMBERS]
    if unknown:
        raise wrong(
            name, f"there is no member {shown(unknown[0][:60])!r}", hint=f"there are {', '.join(_MEMBERS)}"
        )
    amounts = _texts(name, "allocated", members.get("allocated"))
    plain = {
        "URL": _text(name, "url", members.get("url")),
        "Context": _text(name, "context", members.get("context")),
        "TLS": _tls(name, members.get("tls")),
        "SSH": _ssh(name, members.get("ssh")),
        "Labels": _texts(name, "labels", members.get("labels")),
        "Allocated": amounts,
        "Insecure": _truth(name, "insecure", members.get("insecure")),
        "Paused": _truth(name, "paused", members.get("paused")),
    }
    if unknown := [key for key in amounts if key.lower() not in ("cpu", "memory", "disk", "gpu")]:
        raise wrong(name, f"allocated.{shown(unknown[0][:40])} is no resource", hint="cpu, memory, disk, gpu")
    order = convert(plain, AddHost, f"entry {name}")
    entry = entry_of(replace(order, gpus=_gpus(name, members.get("gpus"))), name)
    return dataclasses.replace(entry, removing=_truth(name, "removing", members.get("removing")))


def _gpus(name: str, raw: object) -> list[GPU]:
    if raw is None:
        return []
    if not isinstance(raw, list) or len(raw) > MOST:
        raise wrong(name, f"gpus is no list of at most {MOST} GPUs")
    gpus, counts = [], dict[str, int]()
    for item in raw:
        if not isinstance(item, Mapping) or {str(key).lower() for key in item} - {"vendor", "name", "memory"}:
            raise wrong(name, "each of gpus has vendor, name and memory")
        texts = {str(key).lower(): _text(name, "gpus", value) for key, value in item.items()}
        vendor = {"nvidia": "NVIDIA", "amd": "AMD/ATI", "amd/ati": "AMD/ATI", "intel": "Intel"}.get(
            texts.get("vendor", "nvidia").lower()
        )
        if vendor is None:
            raise wrong(
                name, f"the vendor of a GPU is {shown(texts['vendor'][:40])!r}", hint="NVIDIA, AMD or Intel"
            )
        try:
            memory = parse_bytes(texts.get("memory") or "0")
        except ValueError as error:
            raise wrong(
                name, f"the memory of a GPU is {shown(texts['memory'][:40])!r}", hint="80Gi"
            ) from error
        index = counts[vendor] = counts.get(vendor, -1) + 1
        gpus.append(
            GPU(index=index, name=texts.get("name", ""), vendor=vendor, memory=min(memory, 1 << 50) >> 20)
        )
    return gpus


def _tls(name: str, raw: object) -> dict[str, str] | None:
    if raw is None:
        return None
    if isinstance(raw, str):
        directory = raw.rstrip("/")
        return {"Ca": f"{directory}/ca.pem", "Cert": f"{directory}/cert.pem", "Key": f"{directory}/key.pem"}
    files = _texts(name, "tls", raw)
    if unknown := [key for key in files if key.lower() not in ("ca", "cert", "key")]:
        raise wrong(name, f"tls.{shown(unknown[0][:40])} is no file of certificates", hint="ca, cert, key")
    return files


def _ssh(name: str, raw: object) -> dict[str, Any] | None:
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        raise wrong(name, "ssh is no mapping", hint="options, socket, through")
    members = {str(key).lower(): value for key, value in raw.items()}
    if unknown := [key for key in members if key not in ("options", "socket", "through")]:
        raise wrong(name, f"ssh.{shown(unknown[0][:40])} is not known", hint="options, socket, through")
    return {
        "Options": _texts(name, "ssh.options", members.get("options")),
        "Socket": _text(name, "ssh.socket", members.get("socket")),
        "Through": _text(name, "ssh.through", members.get("through")),
    }


def _texts(name: str, member: str, raw: object) -> dict[str, str]:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping) or len(raw) > 10 * MOST:
        raise wrong(name, f"{member} is no mapping")
    return {_text(name, member, key): _text(name, f"{member}.{key}", value) for key, value in raw.items()}


def _text(name: str, member: str, raw: object) -> str:
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if not isinstance(raw, (str, int, float)) or len(str(raw)) > VALUE_LIMIT or not is_readable(str(raw)):
        raise wrong(name, f"{shown(member[:60])} is no short text")
    return str(raw)


def _truth(name: str, member: str, raw: object) -> bool:
    if raw is None:
        return False
    if not isinstance(raw, bool):
        raise wrong(name, f"{member} is neither true nor false")
    return raw
