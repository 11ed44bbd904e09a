"""One Docker host as it is written down: what may be said of it, and what it means; pure."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bacalhau_jupyter.compute.host.capacity import allocated
from bacalhau_jupyter.compute.host.gpus import AMD, INTEL, NVIDIA
from bacalhau_jupyter.engines.docker.endpoints import Tls
from bacalhau_jupyter.engines.docker.link.target import PlainTarget, SshTarget, plain_target, ssh_target
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.host_orders import AddHost, SshSettings, TlsFiles
from bacalhau_jupyter.models.records.hosts import LABEL
from bacalhau_jupyter.models.text import is_readable
from bacalhau_jupyter.node.hosts.naming import COMPONENT, check_name, suggested_name

MOST = 64
"""Labels, and GPUs, of one host."""
VENDORS = (NVIDIA, AMD, INTEL)
VALUE_LIMIT = 500
"""Characters of a text in the file."""

_LABEL_KEY = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9.-]*/)?[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII
)
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?", re.ASCII)
# What `docker context create` takes.
_CONTEXT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]{0,200}", re.ASCII)

Target = SshTarget | PlainTarget


@dataclass(frozen=True)
class HostEntry:
    """A host as it was written down.

    Attributes
    ----------
    url
        Empty where a Docker context says it.
    context
        The Docker context that is read at each start; empty where the address is given.
    tls
        Files of certificates; relative paths begin in the directory of ``hosts.yaml``.
    removing
        Whether it goes when its jobs have ended.
    """

    name: str
    url: str = ""
    context: str = ""
    tls: TlsFiles | None = None
    ssh: SshSettings = field(default_factory=SshSettings)
    labels: Mapping[str, str] = field(default_factory=dict)
    allocated: ResourcesConfig = field(default_factory=ResourcesConfig)
    gpus: tuple[GPU, ...] = ()
    insecure: bool = False
    paused: bool = False
    removing: bool = False

    def target(self, directory: Path) -> Target:
        """Return where the address leads; not for an entry that names a Docker context.

        Raises
        ------
        ValidationError
            It is malformed.
        """
        return target_of(self.url, self.ssh, self.tls_files(directory), insecure=self.insecure)

    def tls_files(self, directory: Path) -> Tls | None:
        """Return the certificates' files."""
        if self.tls is None:
            return None
        ca, cert, key = (directory / _home(path) for path in (self.tls.ca, self.tls.cert, self.tls.key))
        return Tls(ca, cert, key, verify=True)


def target_of(url: str, ssh: SshSettings, tls: Tls | None, *, insecure: bool = False) -> Target:
    """Return where an address leads, with what is special about the way.

    Raises
    ------
    ValidationError
        Something in it is wrong.
    """
    target = ssh_target(url)
    if target is None:
        return plain_target(url, tls, insecure=insecure)
    return dataclasses.replace(
        target, options=dict(ssh.options), socket=ssh.socket or target.socket, through=ssh.through
    )


def entry_of(order: AddHost, name: str = "") -> HostEntry:
    """Return the entry that a person orders.

    Raises
    ------
    BadRequest
        Something in it is wrong.
    """
    if bool(order.url) == bool(order.context):
        raise wrong(name or order.name, "it needs an address or a Docker context, and not both")
    if len(order.url) > VALUE_LIMIT or not is_readable(order.url) or re.search(r"\s", order.url):
        raise wrong(name or order.name, "its address is too long, or holds blanks or invisible characters")
    if "://" not in order.url and ":" in order.url.rpartition("@")[0]:
        raise wrong(
            name or order.name,
            "its address may not hold a password",
            hint="No password is kept here: log in with a key (ssh-copy-id).",
        )
    entry = HostEntry(
        name=name or order.name or _suggested(order),
        url=order.url,
        context=order.context,
        tls=order.tls,
        ssh=order.ssh or SshSettings(),
        labels=order.labels,
        allocated=order.allocated,
        gpus=tuple(order.gpus),
        insecure=order.insecure,
        paused=order.paused,
    )
    check_name(entry.name)
    if entry.context and not _CONTEXT.fullmatch(entry.context):
        raise wrong(entry.name, f"{shown(entry.context[:60])!r} is no name of a Docker context")
    _check_labels(entry)
    _check_gpus(entry)
    _check_way(entry)
    _check_amounts(entry)
    return entry


def to_file(entry: HostEntry) -> dict[str, Any]:
    """Return what is written under the entry's name: only what differs from the usual."""
    ssh = {"options": dict(entry.ssh.options), "socket": entry.ssh.socket, "through": entry.ssh.through}
    tls = entry.tls
    plain: dict[str, Any] = {
        "context": entry.context,
        "url": entry.url,
        "tls": {} if tls is None else {"ca": tls.ca, "cert": tls.cert, "key": tls.key},
        "ssh": {key: value for key, value in ssh.items() if value},
        "labels": dict(entry.labels),
        "allocated": {key.lower(): value for key, value in to_plain(entry.allocated).items() if value},
        "gpus": [
            {"vendor": gpu.vendor, "name": gpu.name, **({"memory": f"{gpu.memory}Mi"} if gpu.memory else {})}
            for gpu in entry.gpus
        ],
        "insecure": entry.insecure,
        "paused": entry.paused,
        "removing": entry.removing,
    }
    return {key: value for key, value in plain.items() if value}


def _suggested(order: AddHost) -> str:
    try:
        return suggested_name(order.url, order.context)
    except ValueError:
        # A later check of the entry reports what is wrong with the address.
        return "host"


def _check_way(entry: HostEntry) -> None:
    tls = entry.tls
    if tls is not None and not (tls.ca and bool(tls.cert) == bool(tls.key)):
        raise wrong(entry.name, "tls needs the files ca, cert and key")
    if entry.context:
        if tls is not None or entry.insecure:
            raise wrong(entry.name, "its Docker context says which certificates there are")
        # What is special about ssh is checked with any address.
        target_of("ssh://host", entry.ssh, None)
        return
    try:
        target = entry.target(Path("/"))
    except BadRequest as error:
        raise wrong(entry.name, error.message, error.hint) from error
    is_tcp = isinstance(target, PlainTarget) and target.url.startswith("tcp://")
    if not isinstance(target, SshTarget) and entry.ssh != SshSettings():
        raise wrong(entry.name, "ssh settings have no meaning for such an address")
    if not is_tcp and (tls is not None or entry.insecure):
        raise wrong(entry.name, "tls and insecure have a meaning for tcp:// only")


def _check_amounts(entry: HostEntry) -> None:
    try:
        most = allocated(entry.allocated, Resources(cpu=1.0, memory=1 << 30, disk=1 << 30, gpu=1))
    except (ConfigurationError, ValueError, OverflowError) as error:
        raise wrong(entry.name, str(error).replace("Compute.AllocatedCapacity.", "allocated: ")) from error
    if not (math.isfinite(most.cpu) and 0 <= most.cpu < 1e6 and 0 <= most.memory < 1 << 62 > most.disk >= 0):
        raise wrong(entry.name, "allocated names an amount that nothing has")


def _check_labels(entry: HostEntry) -> None:
    if len(entry.labels) > MOST:
        raise wrong(entry.name, f"it has {len(entry.labels)} labels, and {MOST} are the most")
    for key, value in entry.labels.items():
        if len(key) > 120 or not _LABEL_KEY.fullmatch(key):
            raise wrong(entry.name, f"{shown(key[:60])!r} can't be a label")
        if key == LABEL:
            raise wrong(entry.name, f"the label {LABEL} is the host's name")
        if len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
            raise wrong(entry.name, f"{shown(value[:60])!r} can't be the value of a label ({key})")


def _check_gpus(entry: HostEntry) -> None:
    if len(entry.gpus) > MOST:
        raise wrong(entry.name, f"it has {len(entry.gpus)} GPUs, and {MOST} are the most")
    if len({gpu.key for gpu in entry.gpus}) < len(entry.gpus):
        raise wrong(entry.name, "two of its GPUs have the same vendor and index")
    for gpu in entry.gpus:
        is_text = len(gpu.name) <= VALUE_LIMIT and is_readable(gpu.name + gpu.vendor + gpu.pci_address)
        if (
            gpu.vendor not in VENDORS
            or not is_text
            or not 0 <= gpu.memory < 1 << 31
            or not 0 <= gpu.index < 1000
        ):
            raise wrong(entry.name, "a GPU has no vendor, or an odd name or memory", hint=", ".join(VENDORS))


def wrong(name: str, sentence: str, hint: str = "") -> BadRequest:
    """Return the error that names the host and what is wrong with its entry."""
    who = f"host {shown(name[:60])}" if name else "the host was not added"
    return BadRequest(f"{who}: {sentence}", hint=hint, component=COMPONENT)


def _home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        # There is no such user; the file is not found under this name, and told so.
        return Path(path)
