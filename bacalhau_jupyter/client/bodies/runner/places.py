"""Where the parts of the kit lie in the job."""

# ruff: noqa: PTH100, PTH118, PTH120
import os

PACKAGE = os.path.dirname(os.path.abspath(__file__))
KIT = os.path.dirname(PACKAGE)
CELL = os.path.join(KIT, "cell.py")
FONTS = os.path.join(KIT, "fonts")
"""Lists of this machine's fonts."""
PACKAGES = os.path.join(os.path.dirname(KIT), ".packages")
"""Packages that were fetched for the job."""
MODULES = os.path.join(KIT, "modules")
"""Modules that lay beside the notebook."""
VENDOR = os.path.join(KIT, "vendor")
"""Packages that travel with what was pickled by them."""
