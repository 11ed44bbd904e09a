"""What a worker is asked, and what it answers."""

from __future__ import annotations

import msgspec

from bacalhau_jupyter.models.errors import IOFailure

HOSTILE = "ImageRefused"
"""Code of the error of a layer that is broken, or not what was announced, or reaches for what is outside."""
NO_ROOM = "ImageTooLarge"
"""Code of the error of an image that takes more than it may."""


class Owner(msgspec.Struct, frozen=True):
    """To whom what is unpacked belongs, and who may read it.

    Attributes
    ----------
    uid, gid
        Of everything; -1: the node's own. Only root can give files away.
    shift
        What is added to the users and groups of the image (below 65536; others become 65534); -1: ``uid`` and ``gid``
        count. Only for root.
    readable
        Whether every user of this machine may read all of it.
    """

    uid: int = -1
    gid: int = -1
    shift: int = -1
    readable: bool = False

    @property
    def is_own(self) -> bool:
        """Whether all belongs to the node's own user."""
        return max(self.uid, self.gid, self.shift) < 0


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """What a layer's directory does not say of itself; lists hold paths from its top (in the form of `models.names`).

    Attributes
    ----------
    digest
        Hex SHA-256 of the compressed file.
    size
        Bytes that it takes on the disk, about.
    whiteouts
        What it removes from the layers below.
    opaques
        Directories that hide all that is below.
    implied
        Directories that it does not describe: what is below keeps its permissions.
    links_below
        Hard links to files of layers below: name and target.
    left_out
        Devices and sockets, which are not made.
    """

    diff_id: str
    digest: str
    size: int = 0
    members: int = 0
    whiteouts: list[str] = []
    opaques: list[str] = []
    implied: list[str] = []
    links_below: list[tuple[str, str]] = []
    left_out: int = 0


class Order(msgspec.Struct, frozen=True, tag_field="do"):
    """What a worker is to do: ``target`` is an empty directory that it fills."""

    target: str


class UnpackOrder(Order, frozen=True, tag="unpack"):
    """Unpack one layer.

    Attributes
    ----------
    source
        The file, compressed or not.
    digest, diff_id
        Hex SHA-256 of the file and of the tar stream in it; empty: not known.
    size
        Bytes of the file; -1: not known.
    max_bytes
        What it may take on the disk.
    """

    source: str
    digest: str
    diff_id: str
    size: int
    max_bytes: int
    owner: Owner = Owner()


class MergeOrder(Order, frozen=True, tag="merge"):
    """Make the tree of an image out of its layers' directories, the lowest first."""

    layers: list[tuple[str, Layer]]
    owner: Owner = Owner()


class OpenOrder(Order, frozen=True, tag="open"):
    """Unpack an archive that holds images (`docker save`, OCI)."""

    source: str
    max_bytes: int


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a worker.

    Attributes
    ----------
    done
        Compressed bytes that it has read.
    size
        Bytes that it has unpacked, or is about to; of what it made, at the end.
    layer
        Of an unpacked layer.
    error, hint, code
        Why it did not work.
    is_full
        The disk has no room.
    is_last
        Whether the order is done with.
    """

    done: int = 0
    size: int = 0
    layer: Layer | None = None
    error: str = ""
    hint: str = ""
    code: str = ""
    is_full: bool = False
    is_last: bool = False


def refused(reason: str) -> IOFailure:
    """Return the error for a layer that breaks a rule."""
    return IOFailure(
        f"the image is refused: {reason}",
        hint="nothing of it was kept; the image was built or stored wrongly, or somebody tampered with it",
        code=HOSTILE,
        component="Images",
        fails_execution=True,
    )
