"""``profile …``, by us and by the official program, on the same files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.cli.running import Shell, shell_of
from tests.services.node import ServedNode
from tests.services.official import BINARY, quiet_environment, replayed_cluster
from tests.services.official_orchestrator import needs_official

Official = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(served: ServedNode, tmp_path: Path) -> Iterator[Shell]:
    """Run command lines on the module's node, and leave no profile behind."""
    run = shell_of(served, tmp_path)
    yield run
    for path in served.repo.profiles_dir.glob("*"):
        path.unlink()


@pytest.fixture
def official(served: ServedNode, tmp_path: Path) -> Official:
    """Run the official program on the same directory."""

    def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BINARY, *words],
            env={**quiet_environment(tmp_path), "BACALHAU_DIR": str(served.repo.path)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def tree(served: ServedNode, name: str) -> object:
    return yaml.safe_load((served.repo.profiles_dir / f"{name}.yaml").read_text())


def test_a_damaged_profile_hides_no_other_and_can_be_deleted(shell: Shell, served: ServedNode) -> None:
    assert shell("profile", "save", "good", "--endpoint", "h:1").returncode == 0
    (served.repo.profiles_dir / "bad.yaml").write_text("endpoint: [")
    (served.repo.profiles_dir / ".odd.yaml").write_text("endpoint: h")
    listed = shell("profile", "list")
    assert listed.returncode == 0, listed.stderr
    assert "good" in listed.stdout
    assert "bad.yaml is not a profile: it is not YAML: profile delete bad removes it" in listed.stdout
    rows = json.loads(shell("profile", "list", "--output", "json").stdout)
    assert [(row["name"], row["endpoint"]) for row in rows] == [("bad", ""), ("good", "h:1")]
    for verb in ("select", "show", "save"):
        refused = shell("profile", verb, "bad")
        assert refused.returncode == 1
        assert "is not a profile" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert shell("profile", "delete", "bad").returncode == 0
    assert shell("profile", "delete", "bad").returncode == 1
    assert not (served.repo.profiles_dir / "bad.yaml").exists()


def test_what_others_put_into_a_profile_survives_save_and_connect(shell: Shell, served: ServedNode) -> None:
    with replayed_cluster() as cluster:
        assert shell("profile", "save", "a", "--endpoint", cluster.url).returncode == 0
        path = served.repo.profiles_dir / "a.yaml"
        path.write_text(f"{path.read_text()}notes: {{since: 2026-01-01}}\ntls: {{pins: [x]}}\n")
        assert shell("profile", "save", "a", "--description", "d").returncode == 0
        assert shell("connect", cluster.url).returncode == 0
        assert tree(served, "a") == {
            "endpoint": cluster.url,
            "description": "d",
            "tls": {"pins": ["x"]},
            "notes": {"since": yaml.safe_load("2026-01-01")},
        }


@needs_official
def test_both_programs_change_the_same_profiles(shell: Shell, official: Official, served: ServedNode) -> None:
    assert (
        official("profile", "save", "a", "--endpoint", "h:1", "--timeout", "1m", "--select").returncode == 0
    )
    assert shell("profile", "save", "a", "--description", "ours", "--insecure").returncode == 0
    assert official("profile", "save", "a", "--endpoint", "h:2").returncode == 0
    assert tree(served, "a") == {
        "endpoint": "h:2",
        "description": "ours",
        "timeout": "1m",
        "tls": {"insecure": True},
    }
    assert shell("profile", "save", "b", "--endpoint", "h:3", "--select").returncode == 0
    assert "b (current)" in official("profile", "show").stdout
    assert official("profile", "select", "a").returncode == 0
    assert "a (current)" in shell("profile", "show").stdout
    same = ("profile", "list", "--output", "json")
    assert json.loads(shell(*same).stdout) == json.loads(official(*same).stdout)
    assert official("profile", "delete", "a", stdin="y\n").returncode == 0
    assert "no current profile" in shell("profile", "show").stderr
    for program in (shell, official):
        refused = program("profile", "select", "a")
        assert refused.returncode == 1
        assert 'profile "a" not found' in refused.stdout + refused.stderr


@needs_official
def test_both_programs_read_a_profile_that_the_other_is_writing(
    shell: Shell, official: Official, served: ServedNode
) -> None:
    assert shell("profile", "save", "a", "--endpoint", "h:0", "--select").returncode == 0
    with ThreadPoolExecutor(4) as pool:
        runs = [
            pool.submit(program, "profile", verb, "a", *words)
            for number in range(6)
            for program, verb, words in (
                (official, "save", ("--endpoint", f"h:{number}")),
                (shell, "save", ("--endpoint", f"h:{number}")),
                (shell, "show", ()),
                (official, "show", ()),
            )
        ]
        done = [run.result() for run in runs]
    # An official reader may meet an official writer in the middle; ours may not.
    ours = [each for each in done if "bacalhau_jupyter" in each.args]
    assert [each.stderr for each in ours if each.returncode] == []
    saved = tree(served, "a")
    assert isinstance(saved, dict)
    assert saved["endpoint"].startswith("h:")
