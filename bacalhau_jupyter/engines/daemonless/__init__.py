"""Runs ``docker`` jobs without a Docker Engine: bubblewrap over the unpacked image."""

from __future__ import annotations

COMPONENT = "Docker"
"""Named in the errors of this room: for people it is the same engine."""
