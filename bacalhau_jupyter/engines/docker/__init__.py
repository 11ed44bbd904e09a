"""The ``docker`` engine: containers of a Docker Engine on this host, through the Docker SDK.

The SDK itself is imported when the engine is probed, not here: a node without Docker doesn't pay for it.
"""

from __future__ import annotations

from bacalhau_jupyter.engines.docker.engine import DockerEngine

__all__ = ["DockerEngine"]

COMPONENT = "Docker"
"""Named in the errors of this room (`models.errors`)."""
