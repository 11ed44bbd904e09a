"""The verbs of ``image``, and how images are shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bacalhau_jupyter.client.connection.calls.images import ImageCalls
from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.output import Result, Table, Text
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.grammar.stoppable import run_stoppable
from bacalhau_jupyter.models.errors import NotImplementedHere
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.kept.images import FEATURE, KnownImage, KnownImages

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client

T = TypeVar("T")

_ID = len("sha256:") + 12
_SECONDS = len("2026-01-01T00:00:00")


@bacalhau.group()
def image() -> None:
    """See and clean up the images that a node keeps itself, where no Docker Engine runs docker jobs."""


def call(work: Callable[[ImageCalls], Awaitable[T]]) -> T:
    """Ask the connected node about its images.

    Raises
    ------
    NotImplementedHere
        It keeps none.
    """
    connected = _connected()
    return connected.call(lambda api: work(api.images))


def _connected() -> Client:
    connected = client()
    if FEATURE not in connected.info.features:
        raise NotImplementedHere(
            "the connected node keeps no images of its own",
            hint="it is not one of bacalhau-jupyter, an older one, or one that runs no jobs; `connect --own` leads "
            "back to your own node",
        )
    return connected


@image.command("list")
@print_options
def image_list(**show: Any) -> Result:
    """List the images, those that were used last first."""
    return images_table(call(lambda images: images.list()), wide=show["wide"])


@image.command("load")
@click.argument("path", type=click.Path(path_type=Path))
@print_options
def image_load(path: Path, **show: Any) -> Result:
    """Take images from a file that `docker save` wrote, an OCI layout, or an archive of one.

    The path is one of the node's machine, and only the node's own user may do this.
    """
    place = str(path.expanduser().absolute())
    return images_table(call(lambda images: images.load(place)), wide=show["wide"])


@image.command("pull")
@click.argument("image")
@print_options
def image_pull(image: str, **show: Any) -> Result:
    """Take IMAGE from its registry before a job needs it, or again where its tag means another one by now.

    Ctrl-C ends the pull.
    """
    pulled = run_stoppable(
        _connected(),
        lambda api, progress: api.images.pull(image, progress),
        lambda api: api.images.stop_pull(image),
    )
    return images_table(pulled, wide=show["wide"])


@image.command("remove")
@click.argument("image", shell_complete=completing.images)
def image_remove(image: str) -> Result:
    """Remove an image that no job uses, by its name, digest or ID."""
    gone = call(lambda images: images.remove(image))
    return Text(f"Image {image} was removed: {format_bytes(gone.bytes)}.")


@image.command("clean")
def image_clean() -> Result:
    """Remove all images that no job uses, and what broken downloads left."""
    gone = call(lambda images: images.clean())
    many = "1 image" if gone.count == 1 else f"{gone.count} images"
    return Text(f"Removed {many}: {format_bytes(gone.bytes)}.")


def images_table(listing: KnownImages, *, wide: bool = False) -> Table:
    """List images; below them what all take, and may take."""
    rows = [
        (
            _name(each),
            each.image_id if wide else each.image_id[len("sha256:") : _ID],
            format_bytes(each.size),
            f"{each.used[:_SECONDS].replace('T', ' ')} UTC",
            len(each.holders),
            *((each.digest,) if wide else ()),
        )
        for each in listing.images
    ]
    limit = f" of {format_bytes(listing.limit)}" if listing.limit else ""
    note = (
        f"All images take {format_bytes(listing.size)}{limit}." if listing.images else "There are no images."
    )
    columns = ("name", "id", "size", "used", "jobs", *(("digest",) if wide else ()))
    return Table(columns, rows, listing.images, note=note)


def _name(image: KnownImage) -> str:
    tags = [name for name in image.names if "@" not in name]
    return ", ".join(tags or image.names[:1]) or "-"
