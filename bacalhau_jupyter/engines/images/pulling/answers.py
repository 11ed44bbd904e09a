"""What is told when a registry gives no image."""

from __future__ import annotations

from bacalhau_jupyter.engines.images.references import Reference
from bacalhau_jupyter.engines.registries.credentials import HUB
from bacalhau_jupyter.models.errors import EngineError

NOT_FOUND = "ImageNotFound"
"""Code of the error of an image that can't be had; the same as with a Docker Engine."""


def not_there(reference: Reference, status: int, *, logged_in: bool) -> EngineError:
    """Describe a registry's refusal; what it wrote is not repeated, it may be no registry at all."""
    login = f"`docker login {reference.registry}` as the user of the node"
    if reference.registry == HUB:
        login += ", or DOCKER_USERNAME and DOCKER_PASSWORD"
    if status in (401, 403):
        hint = (
            f"The registry {reference.registry} refuses the login that this node has for it (HTTP {status})."
            if logged_in
            else f"The registry does not know it, or wants a login: {login} (HTTP {status})."
        )
    elif status == 404:
        hint = f"Check the name and tag; the registry {reference.registry} does not have it."
    elif status == 429:
        hint = f"The registry {reference.registry} lets this node pull no more for now (HTTP 429): {login}."
    else:
        hint = f"The registry {reference.registry} answered HTTP {status}: is it one?"
    return _not_available(reference, hint, retryable=status == 429 or status >= 500)


def not_reached(reference: Reference, reason: str) -> EngineError:
    """Describe a registry that can't be asked."""
    return _not_available(
        reference,
        f"The registry {reference.registry} can't be reached from this node ({reason}). Use an image that is already "
        "here (`bacalhau-jupyter image list`), or check the network.",
        retryable=True,
    )


def too_slow(reference: Reference, reason: str) -> EngineError:
    """Describe a registry, or its server of tokens, that sends hardly anything."""
    return _not_available(
        reference,
        f"The registry {reference.registry} is too slow ({reason}). Try again later, use an image that is already here "
        "(`bacalhau-jupyter image list`), or check the network.",
        retryable=True,
    )


def _not_available(reference: Reference, hint: str, *, retryable: bool) -> EngineError:
    return EngineError(
        f'image not available: "{reference.shown}"',
        hint=hint,
        code=NOT_FOUND,
        component="Images",
        details={"Image": reference.shown},
        retryable=retryable,
    )
