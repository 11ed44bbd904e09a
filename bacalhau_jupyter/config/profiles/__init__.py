"""Saved connections, in the official CLI's own files: ``profiles/NAME.yaml`` and the link ``current``."""

from __future__ import annotations

from bacalhau_jupyter.config.profiles.profile import Profile
from bacalhau_jupyter.config.profiles.store import ProfileStore

__all__ = ["Profile", "ProfileStore"]
