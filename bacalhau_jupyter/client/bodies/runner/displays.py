"""``display`` and its kin, for bodies: what IPython calls the same, over the channel of the job."""

# ruff: noqa: PTH118, PTH123, SIM105
from __future__ import annotations

import json
import os
import sys

from . import channel, formats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PAYLOAD_BYTES = 4_000_000
"""Of one display; a larger one goes to a file in ``outputs/``."""
TOTAL_BYTES = 64_000_000
"""Of all displays of a process on their way through the log."""

_ENDINGS = {
    "text/html": "html",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/svg+xml": "svg",
    "text/markdown": "md",
    "application/json": "json",
    "text/plain": "txt",
}
_sent = 0
_made = 0
_slot = 0
"""Number of the next display that has no identifier of its own; ``clear_output`` starts again at 0."""
_slots = 0


class DisplayHandle:
    """A display that can be changed later."""

    def __init__(self, display_id: str | None = None) -> None:
        self.display_id = os.urandom(8).hex() if display_id is None else display_id

    def display(self, obj: Any, **options: Any) -> None:
        """Show an object."""
        display(obj, display_id=self.display_id, **options)

    def update(self, obj: Any, **options: Any) -> None:
        """Show an object in place of the former."""
        update_display(obj, display_id=self.display_id, **options)


def display(
    *objects: Any,
    include: Any = None,
    exclude: Any = None,
    metadata: Any = None,
    transient: Any = None,
    display_id: Any = None,
    raw: bool = False,
    clear: bool = False,
    update: bool = False,
    **options: Any,
) -> DisplayHandle | None:
    """Show objects in the notebook, in order with what is printed.

    Parameters
    ----------
    objects
        What to show; with ``raw``, MIME bundles.
    display_id
        True, or an identifier: the handle returned (or ``update_display``) can change the display.
    """
    del options
    if display_id is None and isinstance(transient, dict):
        display_id = transient.get("display_id")
    handle = None
    if display_id is not None and display_id is not False:
        handle = DisplayHandle(None if display_id is True else str(display_id))
    if clear:
        clear_output(wait=True)
    for obj in objects:
        if raw:
            data: dict[str, Any] = dict(obj)
            about: dict[str, Any] = {}
        elif formats.shows_itself(obj):
            continue
        else:
            data, about = formats.bundle(obj, include, exclude)
        _publish(data, {**about, **(metadata or {})}, handle.display_id if handle else None, update)
    return handle


def update_display(obj: Any, *, display_id: str, **options: Any) -> None:
    """Show an object in place of what ``display_id`` showed."""
    options["update"] = True
    display(obj, display_id=display_id, **options)


def clear_output(wait: bool = False) -> None:
    """Let the next displays take the places of those before them."""
    global _slot
    if not wait and channel.is_open():
        for slot in range(_slots):
            _send({"data": {"text/plain": ""}, "metadata": {}, "id": f"slot-{slot}", "update": True}, "")
    _slot = 0


def publish_display_data(
    data: Any,
    metadata: Any = None,
    source: Any = None,
    *,
    transient: Any = None,
    update: bool = False,
    **options: Any,
) -> None:
    """Show a MIME bundle."""
    del source, options
    display(data, metadata=metadata, transient=transient, update=update, raw=True)


def _publish(data: dict[str, Any], metadata: dict[str, Any], display_id: str | None, update: bool) -> None:
    global _slot, _slots
    plain = data.get("text/plain")
    plain = plain if isinstance(plain, str) else ""
    if not channel.is_open():
        sys.stdout.write(plain + "\n")
        return
    name = display_id
    if name is None:
        name = f"slot-{_slot}"
        update = _slot < _slots
        _slot += 1
        _slots = max(_slots, _slot)
    else:
        name = f"own-{name}"
    _send({"data": data, "metadata": metadata, "id": name, "update": update}, plain)


def _send(display: dict[str, Any], plain: str) -> None:
    global _sent
    payload = _payload(display)
    if len(payload) > PAYLOAD_BYTES or _sent + len(payload) > TOTAL_BYTES:
        note = _put_aside(display["data"])
        kept = display["data"].get("text/plain", "")
        kept = f"{kept[:2000]}\n{note}" if isinstance(kept, str) and len(display["data"]) > 1 else note
        payload = _payload({**display, "data": {"text/plain": kept}, "metadata": {}})
        plain = kept
    _sent += len(payload)
    try:
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        pass
    channel.send(payload, plain)


def _payload(display: dict[str, Any]) -> bytes:
    try:
        return json.dumps(display, default=repr).encode()
    except (TypeError, ValueError, RecursionError):
        pass
    data = {}
    for kind, value in display["data"].items():
        try:
            json.dumps(value, default=repr)
        except (TypeError, ValueError, RecursionError) as error:
            sys.stderr.write(f"{kind} of a display can't be sent: {type(error).__name__}: {error}\n")
        else:
            data[str(kind)] = value
    return json.dumps({**display, "data": data, "metadata": {}}).encode()


def _put_aside(data: dict[str, Any]) -> str:
    """Write the largest form of a display into a file; return the sentence that says so."""
    global _made
    kind, value = max(data.items(), key=lambda item: len(item[1]) if isinstance(item[1], str) else 0)
    content = _content(kind, value)
    size = f"{len(content) / 1e6:.1f} MB of {kind}"
    _made += 1
    name = f"display-{_made}.{_ENDINGS.get(kind, 'bin')}"
    try:
        with open(os.path.join(os.environ.get("BACALHAU_OUTPUTS", "outputs"), name), "xb") as file:
            file.write(content)
    except OSError as error:
        return f"[{size}: too large to be shown; not kept either: {error.strerror}]"
    return f"[{size}: too large to be shown; it is in outputs/{name}]"


def _content(kind: str, value: Any) -> bytes:
    if not isinstance(value, str):
        return json.dumps(value, default=repr).encode()
    if kind.startswith("image/") and kind != "image/svg+xml":
        import binascii

        try:
            return binascii.a2b_base64(value)
        except ValueError:
            pass
    return value.encode("utf-8", "replace")
