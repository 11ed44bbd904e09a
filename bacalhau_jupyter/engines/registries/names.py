"""Names of images: whether a text is one, and its parts."""

from __future__ import annotations

import re

from bacalhau_jupyter.engines.registries.credentials import HUB
from bacalhau_jupyter.lib.masking import MASK, mask_secrets
from bacalhau_jupyter.models.errors import EngineError

IMAGE_LENGTH = 1024
"""Characters that an image name may have (the longest legal one is shorter)."""

# An image reference as Docker writes it: [domain[:port]/]path[:tag][@digest].
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@[a-z0-9]+:[0-9a-f]{{32,}})?"
)


# How people, and other programs, name an image in a file.
_FILE = re.compile(r"(?:docker-archive|oci|oci-archive):.*|[/.~].*|.*\.(?:tar|tgz|tar\.\w+)", re.DOTALL)


def is_reference(image: str) -> bool:
    """Whether a text has the form of an image's name."""
    return len(image) <= IMAGE_LENGTH and _REFERENCE.fullmatch(image) is not None


def image_invalid(image: str) -> EngineError:
    """Describe an invalid image name."""
    # `user:password@registry/…` is what people try; a digest has no slash behind its sign.
    image = re.sub(r"^[^/@]*@(?=[^/]*/)", f"{MASK}@", mask_secrets(image))
    hint = "An image is written [registry/]name[:tag] or name@sha256:…, in lower case."
    if _FILE.fullmatch(image):
        hint += (
            " Load one from a file first, on the node's machine: `bacalhau-jupyter image load PATH`, or `docker load` "
            "where a Docker Engine runs the jobs."
        )
    return EngineError(
        f'invalid image format: "{image}"',
        hint=hint,
        code="ImageInvalid",
        fails_execution=True,
        details={"Image": image},
        status=400,
    )


def registry_of(image: str) -> str:
    """Return the host of an image's registry."""
    host, slash, _ = image.partition("/")
    named = slash and ("." in host or ":" in host or host == "localhost")
    return HUB if not named or host == f"index.{HUB}" else host


def split(image: str) -> tuple[str, str]:
    """Split into what ``/images/create`` wants: a name, and a tag or digest."""
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    head, colon, tag = image.rpartition(":")
    if colon and "/" not in tag:
        return head, tag
    return image, "latest"
