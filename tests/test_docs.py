"""The documentation: what it says about the tree is true, and its lines are short."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from bacalhau_jupyter.grammar import bacalhau
from bacalhau_jupyter.notebook.cell_grammar import cell as cell_group

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_a_page_exists_with_its_flags(page: Path) -> None:
    assert [problem for line in _commands(page.read_text()) if (problem := _problem(line))] == []


def test_a_command_or_flag_that_does_not_exist_is_found() -> None:
    page = "Use `%bacalhau job lst`, or\n`bacalhau-jupyter job get ID --row`.\n"
    assert [_problem(line) for line in _commands(page)] == ["no command lst", "no flag --row"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_on_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = re.sub(r"\s", "", target).partition("#")
        if "://" in path:
            continue
        linked = page.parent / path if path else page
        if not linked.exists() or (anchor and anchor not in _anchors(linked)):
            broken.append(target)
    assert broken == []


def _commands(text: str) -> list[list[str]]:
    """Return the words of each command of ours in code spans and code lines."""
    spans = re.findall(r"`((?:%?%bacalhau|bacalhau-jupyter) [^`]+)`", text)
    lines = re.findall(r"^(?:\$ )?((?:%?%bacalhau|bacalhau-jupyter) .*)$", text, flags=re.MULTILINE)
    return [span.split("#")[0].split() for span in [*spans, *lines]]


def _problem(words: list[str]) -> str:
    """Say which word of a command is wrong; empty if none is."""
    command: click.Command = cell_group if words[0] == "%%bacalhau" else bacalhau
    flags = {"--help", "-h"}
    rest = words[1:]
    while rest:
        flags |= {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
        if not isinstance(command, click.Group):
            break
        word = rest.pop(0)
        if word in ("…", "help"):
            return ""
        if word == "--context":
            rest.pop(0)
        elif not word.startswith("-"):
            targets = command.get_command(click.Context(command), word.rstrip(","))
            if targets is None:
                return f"no command {word}"
            command = targets
    wrong = [
        word
        for word in rest
        if word.startswith("--") and word != "--" and word.partition("=")[0] not in flags
    ]
    return f"no flag {wrong[0]}" if wrong else ""


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
