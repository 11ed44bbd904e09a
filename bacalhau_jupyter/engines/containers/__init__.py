"""The engine of type ``docker``: a Docker Engine where one answers, else unpacked images on this machine."""

from __future__ import annotations

from bacalhau_jupyter.engines.containers.engine import Containers

__all__ = ["Containers"]
