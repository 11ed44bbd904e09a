"""The build hook: puts the built labextension into wheels and sdists."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bundle


class LabextensionHook(BuildHookInterface[Any]):
    """Builds unless this is an editable install, or an sdist that brings the bundle along."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and name the files."""
        if version == "editable":
            return
        root = Path(self.root)
        if not (root / "PKG-INFO").is_file():
            bundle.build(root)
        place = bundle.output(root)
        if not (place / "package.json").is_file():
            raise bundle.BundleError(f"the labextension is missing in {place}")
        if not (bundle.page(root) / "index.html").is_file():
            raise bundle.BundleError(f"the web page is missing in {bundle.page(root)}")
        relative = place.relative_to(root).as_posix()
        page = bundle.page(root).relative_to(root).as_posix()
        build_data["artifacts"].extend([f"/{relative}", f"/{page}"])
        if self.target_name == "wheel":
            build_data["shared_data"][relative] = f"share/jupyter/labextensions/{bundle.NAME}"
