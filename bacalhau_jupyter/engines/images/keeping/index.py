"""What is kept, in memory: which image a name means, what is held, and what may go when room is needed. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from bacalhau_jupyter.engines.images.keeping.records import HolderRecord, ImageRecord, KeptLayer
from bacalhau_jupyter.engines.images.references import id_prefix


class Index:
    """Layers, images, names and holders.

    A layer stays while an image has it, or a pull has pinned it; an image while somebody holds it, or a pull has
    pinned it. All else may go, what was used longest ago first.
    """

    def __init__(
        self,
        layers: Iterable[KeptLayer] = (),
        images: Iterable[ImageRecord] = (),
        holders: Iterable[HolderRecord] = (),
    ) -> None:
        self._layers = {kept.layer.diff_id: kept.layer.size for kept in layers}
        self._images = {image.image_id: image for image in images}
        self._holders = {holder.holder: holder for holder in holders}
        self._pinned: Counter[str] = Counter()

    @property
    def size(self) -> int:
        """Bytes of all that is kept."""
        return sum(self._layers.values()) + sum(image.beside_layers for image in self._images.values())

    @property
    def images(self) -> Sequence[ImageRecord]:
        """All images, what was used last first."""
        return sorted(self._images.values(), key=lambda image: (-image.used_ns, image.image_id))

    def has_layer(self, diff_id: str) -> bool:
        """Whether a layer is here."""
        return diff_id in self._layers

    def clear(self) -> None:
        """Forget all but what pulls have pinned: nothing is there any more."""
        for kept in (self._layers, self._images, self._holders):
            kept.clear()

    def forget_layer(self, diff_id: str) -> None:
        """Forget a layer that is not there."""
        self._layers.pop(diff_id, None)

    def image(self, image_id: str) -> ImageRecord | None:
        """Return an image by its ID."""
        return self._images.get(image_id)

    def named(self, name: str) -> ImageRecord | None:
        """Return what a full name means here."""
        return next((image for image in self._images.values() if name in image.names), None)

    def with_digest(self, digest: str) -> ImageRecord | None:
        """Return the image of a manifest's digest."""
        return next((image for image in self._images.values() if image.digest == digest), None)

    def with_id(self, text: str) -> Sequence[ImageRecord]:
        """Return the images that an ID, or the beginning of one, may mean."""
        prefix = id_prefix(text)
        return [image for image in self._images.values() if prefix and image.image_id.startswith(prefix)]

    def add_layer(self, diff_id: str, size: int) -> None:
        """Note a layer."""
        self._layers[diff_id] = size

    def add_image(self, image: ImageRecord) -> list[ImageRecord]:
        """Note an image; return the others that lost a name to it."""
        robbed = []
        for other in list(self._images.values()):
            names = tuple(name for name in other.names if name not in image.names)
            if other.image_id != image.image_id and names != other.names:
                robbed.append(msgspec.structs.replace(other, names=names))
        self._images |= {changed.image_id: changed for changed in robbed}
        self._images[image.image_id] = image
        return robbed

    def remove_image(self, image_id: str) -> list[str]:
        """Forget an image; return the layers that nothing needs any more, which are forgotten, too."""
        self._images.pop(image_id, None)
        return self.remove_loose()

    def remove_loose(self) -> list[str]:
        """Forget the layers that nothing needs, and return them."""
        needed = {layer for image in self._images.values() for layer in image.layers}
        loose = [layer for layer in self._layers if layer not in needed and not self._pinned[layer]]
        for layer in loose:
            del self._layers[layer]
        return loose

    def own_size(self, image: ImageRecord) -> int:
        """Return the bytes that only this image takes."""
        others = {
            layer
            for other in self._images.values()
            if other.image_id != image.image_id
            for layer in other.layers
        }
        own = set(image.layers) - others
        return image.beside_layers + sum(self._layers.get(layer, 0) for layer in own)

    def pin(self, keys: Iterable[str]) -> None:
        """Keep layers or images, by their hex digests, while a pull needs them."""
        self._pinned.update(keys)

    def unpin(self, keys: Iterable[str]) -> None:
        """Undo `pin`."""
        self._pinned.subtract(keys)
        self._pinned += Counter()

    def holder(self, holder: str) -> HolderRecord | None:
        """Return what somebody holds."""
        return self._holders.get(holder)

    def add_holder(self, holder: HolderRecord) -> None:
        """Note who holds what."""
        self._holders[holder.holder] = holder

    def remove_holder(self, holder: str) -> None:
        """Forget that."""
        self._holders.pop(holder, None)

    def holders_of(self, image_id: str) -> list[str]:
        """Return who holds an image."""
        return sorted(record.holder for record in self._holders.values() if record.image_id == image_id)

    def removable(self) -> list[ImageRecord]:
        """Return the images that may go, what was used longest ago first."""
        held = {record.image_id for record in self._holders.values()}
        free = [
            image
            for image in self._images.values()
            if image.image_id not in held and not self._pinned[image.image_id]
        ]
        return sorted(free, key=lambda image: (image.used_ns, image.image_id))

    def held_size(self) -> int:
        """Return the bytes of all that may not go."""
        free = {image.image_id for image in self.removable()}
        kept = [image for image in self._images.values() if image.image_id not in free]
        layers = {layer for image in kept for layer in image.layers} | {
            layer for layer in self._layers if self._pinned[layer]
        }
        return sum(image.beside_layers for image in kept) + sum(
            self._layers.get(layer, 0) for layer in layers
        )
