"""What is written down of layers, images and holders."""

from __future__ import annotations

import msgspec

from bacalhau_jupyter.engines.images.unpacking.orders import Layer, Owner


class KeptLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer that is unpacked.

    Attributes
    ----------
    boot
        The machine's boot in which it was written, until it is known to be on the disk; then empty.
    """

    layer: Layer
    boot: str = ""


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An image whose layers are all here.

    Attributes
    ----------
    image_id
        Hex SHA-256 of its configuration.
    digest
        Of the manifest that it came with (``sha256:…``); of the configuration, where it came with none.
    names
        Full names (`references.Reference.name`) that mean it.
    layers
        Hex SHA-256 of the layers' contents, the lowest first.
    size
        Bytes of its compressed layers.
    tree_size
        Bytes of its tree, without the layers; 0 where it is its only layer.
    config_size
        Bytes of its configuration.
    """

    image_id: str
    digest: str
    names: tuple[str, ...]
    layers: tuple[str, ...]
    size: int
    tree_size: int = 0
    config_size: int = 0
    boot: str = ""
    used_ns: int = 0

    @property
    def beside_layers(self) -> int:
        """Bytes that it takes on the disk, without its layers."""
        return self.tree_size + self.config_size


class HolderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds which image, and what it was asked for as."""

    holder: str
    image_id: str
    reference: str


class StoreRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the whole store."""

    owner: Owner
    version: int = 1
