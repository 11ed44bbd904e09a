"""The version that this node reports."""

from __future__ import annotations

import platform
import sys

from bacalhau_jupyter._version import __version__
from bacalhau_jupyter.models.records.node import BuildVersionInfo

WIRE_VERSION = "1.9.3"
"""The Bacalhau release whose wire formats we speak."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def build_version() -> BuildVersionInfo:
    """Return the version in the form Go's build information has.

    ``GitVersion`` is a semantic version that compares equal to the official release (build metadata does not
    count), so that version gates of official nodes let us pass, and that still says who we are.
    """
    major, minor, _ = WIRE_VERSION.split(".")
    machine = platform.machine().lower()
    return BuildVersionInfo(
        major=major,
        minor=minor,
        git_version=f"v{WIRE_VERSION}+jupyter.{__version__}",
        git_commit="",
        build_date="1970-01-01T00:00:00Z",
        goos=sys.platform,
        goarch=_ARCHITECTURES.get(machine, machine),
    )
