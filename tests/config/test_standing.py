"""What this version does with each key: honoured, refused or ignored, and that this is true."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import bacalhau_jupyter
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.key import Kind, Treatment
from bacalhau_jupyter.config.keys import KEYS
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.settings import check
from tests.config.settings_page import PAGE, page
from tests.models.samples import REST, load

PACKAGE = Path(bacalhau_jupyter.__file__).parent
TESTS = Path(__file__).parents[1]
ROLES = {"Orchestrator.Enabled": True, "Compute.Enabled": True}
OTHER: dict[Kind, Any] = {
    Kind.TEXT: "other",
    Kind.FLAG: True,
    Kind.INTEGER: 77,
    Kind.PORT: 7777,
    Kind.DURATION: "77s",
    Kind.SIZE: "77Mb",
    Kind.LIST: ["other"],
    Kind.MAP: {"other": "one"},
    Kind.TREE: {"Other": {"Type": "ask", "PolicyPath": "/p.rego"}},
    Kind.RECORDS: [{"Username": "a", "Password": "0123456789"}],
}
SECURITY = re.compile(r"TLS|Auth\b|Auth\.|Token|Policy|Admission|AllowList|Secret|TrustLocalUser")


def of(treatment: Treatment) -> list[str]:
    return [name for name, key in KEYS.items() if key.standing.treatment is treatment]


@pytest.mark.parametrize("name", of(Treatment.REFUSED))
def test_a_node_does_not_start_with_a_refused_key_and_names_it(name: str) -> None:
    config = Config({**ROLES, name: OTHER[KEYS[name].kind]})
    with pytest.raises(ConfigurationError, match=re.escape(name)) as caught:
        check(config)
    assert KEYS[name].standing.reason in caught.value.message


def test_all_refused_keys_are_named_at_once() -> None:
    config = Config({**ROLES, "WebUI.Backend": "http://b", "Orchestrator.Cluster.Name": "c"})
    with pytest.raises(ConfigurationError, match=r"WebUI\.Backend, Orchestrator\.Cluster\.Name"):
        check(config)


def test_a_full_official_configuration_is_accepted() -> None:
    official = load(REST / "agent_config.json")["config"]
    values = dict(_flat(official))
    # The captured node listens for others on this port, and joins itself there.
    assert values["Compute.Orchestrators"] == ["nats://127.0.0.1:24222"]
    check(Config({**values, **ROLES}))


def test_joining_another_orchestrator_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Compute\.Orchestrators"):
        check(Config({**ROLES, "Compute.Orchestrators": ["nats://192.0.2.1:4222"]}))


@pytest.mark.parametrize("name", sorted({*KEYS} - {*of(Treatment.HONOURED)}))
def test_what_is_not_honoured_says_why(name: str) -> None:
    assert KEYS[name].standing.reason


@pytest.mark.parametrize("name", of(Treatment.IGNORED))
def test_no_security_setting_is_ignored(name: str) -> None:
    assert not SECURITY.search(name)


@pytest.mark.parametrize("name", of(Treatment.HONOURED))
def test_an_honoured_key_is_read(name: str) -> None:
    assert any(pattern.fullmatch(name) for pattern in _names_in(PACKAGE)), f"nothing reads {name}"


@pytest.mark.parametrize("name", of(Treatment.HONOURED))
def test_an_honoured_key_has_a_test_that_sets_it(name: str) -> None:
    key = KEYS[name]
    spellings = (name, name.replace(".", "__"), key.variable)
    assert any(word in _test_text() for word in spellings) or _is_built(name), f"no test sets {name}"


def test_the_page_of_settings_is_made_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.config.settings_page"


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    entries = []
    for name, value in tree.items():
        full = prefix + name
        if full in KEYS:
            entries.append((full, value))
        elif isinstance(value, dict):
            entries += _flat(value, f"{full}.")
    return entries


_PATTERNS: list[re.Pattern[str]] = []
_TEXT: list[str] = []


def _names_in(package: Path) -> list[re.Pattern[str]]:
    """Return a pattern for each text of the package that may be a key's name; inserted values match one word."""
    if not _PATTERNS:
        for path in package.rglob("*.py"):
            if path.is_relative_to(package / "config" / "keys"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                pattern = _pattern(node)
                if pattern:
                    _PATTERNS.append(re.compile(pattern))
        # One call reads a whole section (`Config.job_defaults`).
        _PATTERNS.append(re.compile(r"JobDefaults\..*"))
    return _PATTERNS


def _pattern(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value) if node.value in KEYS else ""
    if isinstance(node, ast.JoinedStr):
        parts = [
            re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"[\w.]+"
            for part in node.values
        ]
        literal = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        # Two dots or a known beginning: a text with one inserted word is not every key.
        return "".join(parts) if "." in literal and " " not in literal and len(literal) > 3 else ""
    return ""


def _test_text() -> str:
    if not _TEXT:
        texts = [
            path.read_text(encoding="utf-8")
            for path in TESTS.rglob("*.py")
            if path.name not in ("settings_page.py", "test_standing.py", "test_keys.py")
        ]
        _TEXT.append("\n".join(texts))
    return _TEXT[0]


def _is_built(name: str) -> bool:
    """Whether a test puts the name together: ``f"{BATCH}.Priority"``, or ``f"InputSources.{name}"`` by keyword."""
    text, parts = _test_text(), name.split(".")
    if f'f"{".".join(parts[:-1])}.{{' in text and f"{parts[-1]}=" in text:
        return True
    return any(
        f'"{".".join(parts[:split])}"' in text and f'}}.{".".join(parts[split:])}"' in text
        for split in range(1, len(parts))
    )


def test_every_key_has_a_standing() -> None:
    assert {key.standing.treatment for key in KEYS.values()} <= set(Treatment)
