"""Makes this interpreter look as one on macOS does: the platform's name, and without what only Linux's modules have.

A stand-in for a Mac: it shows what our code does where a call is missing or the platform is asked for, not what macOS
does. What Python and other packages choose by platform is loaded before, since they would look for files of macOS.
"""

from __future__ import annotations

import mimetypes
import urllib.request

import psutil

from tests.engines.wasm.without_linux import take_away

LOADED = (mimetypes, psutil, urllib.request)


def pretend() -> None:
    """Take away what macOS does not have, and say that this is macOS."""
    take_away()
