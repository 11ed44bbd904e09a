"""Images in files: what `docker save` writes, OCI layouts, and archives of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from bacalhau_jupyter.engines.images.platforms import Platform
from bacalhau_jupyter.engines.images.pulling.manifests import (
    INDEXES,
    LARGEST,
    Described,
    Descriptor,
    Manifest,
    check_platform,
    checked,
    digest_of,
    read_config,
    read_manifest,
)
from bacalhau_jupyter.engines.images.references import is_digest, parse
from bacalhau_jupyter.engines.images.unpacking.orders import refused
from bacalhau_jupyter.lib.beneath import open_beneath
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest

_INDEX, _MANIFEST = "index.json", "manifest.json"
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_MOST_IMAGES = 200
_DEEPEST = 3
_MOST_CONFIGURATIONS = 16 << 20
"""Bytes of all configurations: one file may be that of many images, and is read for each."""


@dataclass(frozen=True)
class LoadedLayer:
    """A layer in a file; ``digest`` and ``size`` are those of the file, empty and -1 where nothing says them."""

    path: Path
    diff_id: str
    digest: str = ""
    size: int = -1


@dataclass(frozen=True)
class LoadedImage:
    """An image in a directory; ``digest`` is that of its manifest, or of its configuration where it has none."""

    digest: str
    names: Sequence[str]
    config: bytes
    described: Described
    layers: Sequence[LoadedLayer]


def read_images(root: Path, own: Platform) -> list[LoadedImage]:
    """Return the images in an unpacked archive, or in an OCI layout. Blocks.

    Raises
    ------
    BacalhauError
        It is neither, broken, or has nothing for this machine.
    """
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if (manifest := _read(directory, _MANIFEST)) is not None:
            return _docker_images(root, directory, manifest, own)
        if (index := _read(directory, _INDEX)) is not None:
            return _layout_images(root, directory, index, own)
    finally:
        os.close(directory)
    raise BadRequest(
        "this is neither what `docker save` writes, nor an OCI layout",
        hint=f"{_MANIFEST} of the one, or {_INDEX} of the other, has to lie at its top",
    )


def _docker_images(root: Path, directory: int, manifest: bytes, own: Platform) -> list[LoadedImage]:
    images = []
    for entry in _list(manifest, _MANIFEST):
        config_name, layer_names, tags = entry.get("Config"), entry.get("Layers"), entry.get("RepoTags") or []
        if not isinstance(config_name, str) or not _are_texts(layer_names) or not _are_texts(tags):
            raise refused(f"an entry of its {_MANIFEST} is broken")
        config = _needed(directory, config_name)
        described = read_config(config)
        if len(described.diff_ids) != len(layer_names):
            raise refused(f"its {_MANIFEST} and its configuration disagree about its layers")
        image_id = digest_of(config)
        check_platform(described.config, own, (tags or [image_id])[0])
        layers = [
            LoadedLayer(_file(root, directory, name), diff_id)
            for name, diff_id in zip(layer_names, described.diff_ids, strict=True)
        ]
        images.append(LoadedImage(image_id, _names(tags), config, described, layers))
        _check_size(images)
    return images


def _layout_images(root: Path, directory: int, index: bytes, own: Platform) -> list[LoadedImage]:
    images: list[LoadedImage] = []
    problem: BacalhauError | None = None
    for entry in _list(index, _INDEX, "manifests"):
        annotations = entry.get("annotations")
        values = [annotations.get(name) for name in _NAMES] if isinstance(annotations, dict) else []
        names = _names([name for name in values if isinstance(name, str)])
        try:
            images.append(_layout_image(root, directory, entry, names, own))
        except BacalhauError as error:
            # Layouts often hold images for other machines beside ours.
            problem = problem or error
        _check_size(images)
    if not images:
        raise problem or refused("it holds no image")
    return images


def _check_size(images: Sequence[LoadedImage]) -> None:
    if sum(len(image.config) for image in images) > _MOST_CONFIGURATIONS:
        raise refused(f"its configurations have more than {_MOST_CONFIGURATIONS:,} bytes")


def _layout_image(
    root: Path, directory: int, entry: dict[str, Any], names: Sequence[str], own: Platform
) -> LoadedImage:
    piece: Manifest | Descriptor = _descriptor(entry)
    kind = str(entry.get("mediaType") or INDEXES[0])
    for _ in range(_DEEPEST):
        if isinstance(piece, Manifest):
            break
        data = checked(_needed(directory, _blob(piece.digest)), piece, "its manifest")
        piece = read_manifest(data, kind, own, (names or [piece.digest])[0])
        kind = ""
    if not isinstance(piece, Manifest):
        raise refused("its index leads to indexes again and again")
    config = checked(_needed(directory, _blob(piece.config.digest)), piece.config, "its configuration")
    described = read_config(config)
    if len(described.diff_ids) != len(piece.layers):
        raise refused("its manifest and its configuration disagree about its layers")
    check_platform(described.config, own, (names or [piece.digest])[0])
    layers = [
        LoadedLayer(
            _file(root, directory, _blob(layer.digest)), diff_id, layer.digest.partition(":")[2], layer.size
        )
        for layer, diff_id in zip(piece.layers, described.diff_ids, strict=True)
    ]
    return LoadedImage(piece.digest, names, config, described, layers)


def _names(tags: Sequence[str]) -> tuple[str, ...]:
    names = []
    for tag in tags[:_MOST_IMAGES]:
        # A bare tag ("latest") is no name; neither is what Docker would not take.
        if "/" in tag or ":" in tag:
            try:
                names.append(parse(tag).name)
            except BacalhauError:
                continue
    return tuple(dict.fromkeys(names))


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _descriptor(entry: dict[str, Any]) -> Descriptor:
    digest, size = entry.get("digest"), entry.get("size")
    if not isinstance(digest, str) or not is_digest(digest) or not isinstance(size, int):
        raise refused(f"an entry of its {_INDEX} has no SHA-256 digest")
    return Descriptor(digest, size)


def _needed(directory: int, name: str) -> bytes:
    data = _read(directory, name)
    if data is None:
        raise refused(f"{name[:100]!r} is missing")
    return data


def _read(directory: int, name: str) -> bytes | None:
    try:
        descriptor = open_beneath(directory, name, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise refused(f"{name[:100]!r} can't be read: {error}") from error
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_size > LARGEST:
            raise refused(f"{name[:100]!r} is no file of at most {LARGEST:,} bytes")
        return file.read(LARGEST)


def _file(root: Path, directory: int, name: str) -> Path:
    """Return the path of a layer's file, which lies below the directory whatever links are on the way."""
    try:
        place = (root / name).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        raise refused(f"the layer {name[:100]!r} is missing") from None
    if not place.is_relative_to(root.resolve()) or not place.is_file():
        raise refused(f"the layer {name[:100]!r} is no file of it")
    return place


def _list(data: bytes, name: str, member: str = "") -> list[dict[str, Any]]:
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        body = None
    if member:
        body = body.get(member) if isinstance(body, dict) else None
    if not isinstance(body, list) or not all(isinstance(entry, dict) for entry in body):
        raise refused(f"its {name} is broken")
    if not 0 < len(body) <= _MOST_IMAGES:
        raise refused(f"its {name} names {len(body)} images")
    return body


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
