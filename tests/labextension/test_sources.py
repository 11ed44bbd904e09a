"""What must hold for the sources of the labextension, without building it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

import bacalhau_jupyter
from bacalhau_jupyter.models.jobs.job import Job
from tests.labextension.support import packaging

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "labextension"
PACKAGE = json.loads((FOLDER / "package.json").read_text())


def test_both_halves_state_the_same_version() -> None:
    match = re.fullmatch(r"(\d+\.\d+\.\d+)(?:\.?(dev|a|b|rc)(\d+))?", bacalhau_jupyter.__version__)
    assert match is not None
    number, kind, count = match.groups()
    npm = number + (f"-{ {'a': 'alpha', 'b': 'beta'}.get(kind, kind) }.{count}" if kind else "")
    assert PACKAGE["version"] == npm
    assert f"VERSION = '{npm}'" in (FOLDER / "src" / "version.ts").read_text()


def test_the_lock_file_names_no_registry_and_no_machine() -> None:
    lock = (FOLDER / "yarn.lock").read_text()
    assert "__archiveUrl" not in lock
    assert not re.search(r"https?://", lock)
    assert not re.search(r"@(file|link|portal):", lock)


def test_the_package_is_found_by_jupyterlab() -> None:
    (path,) = bacalhau_jupyter._jupyter_labextension_paths()
    assert path == {"src": "labextension", "dest": PACKAGE["name"]}
    assert PACKAGE["jupyterlab"]["outputDir"] == "../bacalhau_jupyter/labextension"


def test_the_sources_put_nothing_into_the_page_as_markup() -> None:
    for path in FOLDER.glob("src/**/*.ts*"):
        text = path.read_text()
        assert "dangerouslySetInnerHTML" not in text, path
        assert ".innerHTML" not in text, path


def test_styles_take_their_colours_from_the_theme() -> None:
    for path in FOLDER.glob("style/*.css"):
        colours = re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", path.read_text())
        assert not colours, (path, colours)


def test_an_editable_install_asks_for_no_builder() -> None:
    backend = packaging("backend")
    assert backend.tools(ROOT)[0].startswith("jupyter-builder")
    assert backend.get_requires_for_build_editable is not backend.get_requires_for_build_wheel
    assert not [
        name for name in backend.get_requires_for_build_editable() if "builder" in name or "node" in name
    ]


def test_the_panel_judges_specs_by_the_fields_that_the_node_knows() -> None:
    def tree(info: msgspec.inspect.Type) -> Any:
        match info:
            case msgspec.inspect.StructType():
                return {field.encode_name: tree(field.type) for field in info.fields}
            case msgspec.inspect.ListType():
                return tree(info.item_type)
        return None

    fields = json.loads((FOLDER / "src" / "menus" / "fields.json").read_text())
    assert fields == tree(msgspec.inspect.type_info(Job))
