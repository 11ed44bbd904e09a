"""The documentation: what it says about the tree is true, and its lines are short."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = sorted(
    path
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "security.md"
)
LINE_LENGTH = 100

pytestmark = pytest.mark.skipif(not ARCHITECTURE.exists(), reason="the documentation is not beside the tests")


def test_the_page_about_the_architecture_has_the_layers_of_the_import_rules() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (rule["layers"] for rule in contracts if rule["id"] == "layers")
    page = ARCHITECTURE.read_text()
    parts = re.split(r"^\*\*Layer \d[^\n]*\*\*$", page, flags=re.MULTILINE)[1:]
    parts[-1] = parts[-1].partition("Some rules go beyond layers")[0]
    documented = [sorted(re.findall(r"^\* `(\w+)`:", part, flags=re.MULTILINE)) for part in parts]
    assert documented == [sorted(room.strip() for room in layer.split("|")) for layer in layers]


def test_every_file_that_the_page_about_the_architecture_names_exists() -> None:
    paths = re.findall(r"`([\w/.]+/[\w/.]*\.(?:py|ts|md)|[\w/]+/)`", ARCHITECTURE.read_text())
    assert len(paths) > 40
    missing = [
        path
        for path in paths
        if not any((base / path).exists() for base in (ROOT, ROOT / "bacalhau_jupyter"))
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_lines_of_a_page_are_short(page: Path) -> None:
    # An image or a link can't be wrapped.
    lines = enumerate(page.read_text().splitlines(), 1)
    assert not [
        number for number, line in lines if len(line) > LINE_LENGTH and not re.match(r"!?\[[^\]]*\]\(", line)
    ]
