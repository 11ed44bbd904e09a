"""What registries say of an image: indexes, manifests and configurations, as bytes of a stranger."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bacalhau_jupyter.engines.images.contract import ImageConfig
from bacalhau_jupyter.engines.images.platforms import Platform
from bacalhau_jupyter.engines.images.references import is_digest
from bacalhau_jupyter.engines.images.unpacking.orders import refused
from bacalhau_jupyter.models.errors import EngineError

LARGEST = 4 << 20
"""Bytes of a manifest or configuration."""
_MOST_LAYERS = 500
_MOST_WORDS = 100_000
_LONGEST = 4096
"""Characters of a user, a directory, a kind of machine: errors repeat them."""
_OCI, _DOCKER = "application/vnd.oci.image", "application/vnd.docker"
INDEXES = (f"{_OCI}.index.v1+json", f"{_DOCKER}.distribution.manifest.list.v2+json")
MANIFESTS = (f"{_OCI}.manifest.v1+json", f"{_DOCKER}.distribution.manifest.v2+json")
_LAYERS = (f"{_OCI}.layer.v1.tar", f"{_DOCKER}.image.rootfs.diff.tar")
_OLD = f"{_DOCKER}.distribution.manifest.v1"
NO_PLATFORM = "ImagePlatform"
"""Code of the error of an image that exists for other machines only."""


@dataclass(frozen=True)
class Descriptor:
    """A piece of an image: its digest (``sha256:…``) and bytes."""

    digest: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The pieces of one image; layers from the lowest up."""

    digest: str
    config: Descriptor
    layers: Sequence[Descriptor]

    @property
    def size(self) -> int:
        """Bytes of the compressed layers."""
        return sum(layer.size for layer in self.layers)


@dataclass(frozen=True)
class Described:
    """An image's configuration, and the digests of its layers' contents."""

    config: ImageConfig
    diff_ids: Sequence[str]


def digest_of(data: bytes) -> str:
    """Return the digest of some bytes as registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def checked(data: bytes, descriptor: Descriptor, what: str) -> bytes:
    """Return the bytes if they are what was announced.

    Raises
    ------
    IOFailure
        They are not.
    """
    if len(data) != descriptor.size or digest_of(data) != descriptor.digest:
        raise refused(f"{what} is not what its digest {descriptor.digest[:19]}… announces")
    return data


def read_manifest(data: bytes, media_type: str, own: Platform, image: str) -> Manifest | Descriptor:
    """Read what a registry gave; an index gives the descriptor of the manifest for this machine.

    Raises
    ------
    IOFailure
        It is broken, or of a kind that is no image.
    EngineError
        ``ImagePlatform``: there is none for this machine.
    """
    body = _object(data, "its manifest")
    kind = body.get("mediaType") or media_type.partition(";")[0].strip()
    if (isinstance(kind, str) and kind.startswith(_OLD)) or body.get("schemaVersion") == 1:
        raise refused("it is stored in a format of before 2017; push it again with a Docker of today")
    if kind in INDEXES or (kind not in MANIFESTS and "manifests" in body):
        return _choose(_list(body, "manifests"), own, image)
    if "layers" not in body or "config" not in body:
        raise refused("what its registry gave is no image")
    layers = _list(body, "layers")
    if len(layers) > _MOST_LAYERS:
        raise refused(f"it has {len(layers)} layers; {_MOST_LAYERS} are the most")
    for layer in layers:
        layer_kind = layer.get("mediaType", "") if isinstance(layer, dict) else ""
        if not isinstance(layer_kind, str) or not layer_kind.startswith(_LAYERS) or "encrypted" in layer_kind:
            raise refused(f"a layer is of the kind {str(layer_kind)[:100]!r}, which holds no files to run")
    config = _descriptor(body.get("config"), "its configuration")
    return Manifest(digest_of(data), config, tuple(_descriptor(layer, "a layer") for layer in layers))


def read_config(data: bytes) -> Described:
    """Read an image's configuration.

    Raises
    ------
    IOFailure
        It is broken.
    """
    body = _object(data, "its configuration")
    rootfs = body.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(map(is_digest, diff_ids)) or len(diff_ids) > _MOST_LAYERS:
        raise refused("its configuration does not say of what its layers consist")
    settings = body.get("config") or {}
    if not isinstance(settings, dict):
        raise refused('"config" of its configuration is not an object')
    config = ImageConfig(
        architecture=_text(body, "architecture"),
        os=_text(body, "os") or "linux",
        variant=_text(body, "variant"),
        entrypoint=_texts(settings, "Entrypoint"),
        command=_texts(settings, "Cmd"),
        env=_texts(settings, "Env"),
        working_directory=_text(settings, "WorkingDir"),
        user=_text(settings, "User"),
        labels=_labels(settings),
        exposed_ports=_keys(settings, "ExposedPorts"),
        volumes=_keys(settings, "Volumes"),
        stop_signal=_text(settings, "StopSignal"),
    )
    return Described(config, tuple(diff_ids))


def check_platform(config: ImageConfig, own: Platform, image: str) -> None:
    """Refuse an image for another machine.

    Raises
    ------
    EngineError
        ``ImagePlatform``.
    """
    theirs = Platform(config.os, config.architecture, config.variant)
    if config.architecture and not own.runs(theirs):
        raise wrong_platform(image, [theirs], own)


def wrong_platform(image: str, theirs: Sequence[Platform], own: Platform) -> EngineError:
    """Return the error for an image that is for other machines."""
    names = " ".join(dict.fromkeys(str(each)[:50] for each in theirs[:50]))
    return EngineError(
        f"this node does not support the available image platforms [{names}] (supports [{own}])",
        hint="use an image that exists for this machine, or a node of the other kind",
        code=NO_PLATFORM,
        component="Images",
        fails_execution=True,
        details={"Image": image},
    )


def _choose(entries: list[Any], own: Platform, image: str) -> Descriptor:
    choices: list[tuple[Platform, Any]] = []
    for entry in entries[:1000]:
        place = entry.get("platform") if isinstance(entry, dict) else None
        if not isinstance(place, dict):
            # An index of one image need not say for which machine it is; its configuration does.
            place = {"os": own.os, "architecture": own.architecture} if len(entries) == 1 else {}
        platform = Platform(_text(place, "os"), _text(place, "architecture"), _text(place, "variant"))
        if platform.architecture != "unknown":
            choices.append((platform, entry))
    best = own.best([platform for platform, _ in choices])
    if best is None:
        raise wrong_platform(image, [platform for platform, _ in choices], own)
    return _descriptor(choices[best][1], "the manifest for this machine")


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        body = None
    if not isinstance(body, dict):
        raise refused(f"{what} is not valid JSON")
    return body


def _descriptor(value: Any, what: str) -> Descriptor:
    digest = value.get("digest") if isinstance(value, dict) else None
    size = value.get("size") if isinstance(value, dict) else None
    if not isinstance(digest, str) or not is_digest(digest):
        raise refused(f"{what} has no SHA-256 digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 50:
        raise refused(f"{what} has no size")
    return Descriptor(digest, size)


def _list(body: dict[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    if not isinstance(value, list):
        raise refused(f'"{name}" of its manifest is not a list')
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise refused(f'"{name}" of its configuration is not text')
    if len(value) > _LONGEST:
        raise refused(f'"{name}" of its configuration has more than {_LONGEST:,} characters')
    return value


def _texts(body: dict[str, Any], name: str) -> tuple[str, ...]:
    value = body.get(name)
    if value is None:
        return ()
    if (
        not isinstance(value, list)
        or len(value) > _MOST_WORDS
        or not all(isinstance(item, str) and "\0" not in item for item in value)
    ):
        raise refused(f'"{name}" of its configuration is not a list of texts')
    return tuple(value)


def _keys(body: dict[str, Any], name: str) -> tuple[str, ...]:
    value = body.get(name)
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise refused(f'"{name}" of its configuration is not an object')
    return tuple(value)


def _labels(body: dict[str, Any]) -> dict[str, str]:
    value = body.get("Labels")
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise refused('"Labels" of its configuration is not an object of texts')
    return value
