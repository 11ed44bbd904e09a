"""``config set``: what is written into a config file, and what is left as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.editing import set_values
from bacalhau_jupyter.models.errors import ConfigurationError

MINE = """\
# mine
API:
  # the port
  Port: 1  # was 2
  Names:
  - a
  - b
# end
labels: {x: y}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(MINE, encoding="utf-8")
    return path


def test_comments_and_all_other_lines_stay(file: Path) -> None:
    set_values(file, {"api.port": "1299", "API.TLS.CAFile": "/x/ca.pem", "Node.GracePeriod": "5m"})
    assert file.read_text(encoding="utf-8") == (
        "# mine\nAPI:\n  # the port\n  Port: 1299  # was 2\n  Names:\n  - a\n  - b\n  TLS:\n    CAFile: /x/ca.pem\n"
        "# end\nlabels: {x: y}\nNode:\n  GracePeriod: 5m\n"
    )


def test_every_kind_of_value_is_read_back_as_it_was_set(file: Path) -> None:
    set_values(
        file,
        {
            "api.names": "q,r",
            "LABELS": "k=v,a=b",
            "Compute.Enabled": "true",
            "Uploads.Quota": "2Gi",
            "Logging.Level": "DEBUG",
            "Compute.AllocatedCapacity.CPU": "2",
            "JobDefaults.Batch.Priority": "3",
            "JobAdmissionControl.ProbeExec": "test: 'a' # \"b\"",
        },
    )
    config = Config.from_sources(files=[file], environ={})
    assert config["API.Names"] == ["q", "r"]
    assert config["Labels"] == {"k": "v", "a": "b"}
    assert config["Compute.Enabled"] is True
    assert config["Uploads.Quota"] == 2 * 1024**3
    assert config["Logging.Level"] == "debug"
    assert config["Compute.AllocatedCapacity.CPU"] == "2"
    assert config["JobAdmissionControl.ProbeExec"] == "test: 'a' # \"b\""
    assert "# end" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text", ["", "# only words\n", "API: {Port: 1}\n", "API:\n", "{}\n", "API:\n    Port: 1"]
)
def test_any_form_of_file_takes_a_new_key(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    set_values(file, {"API.TLS.UseTLS": "true"})
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert tree["API"]["TLS"] == {"UseTLS": True}
    assert tree["API"].get("Port", 1) == 1


def test_the_file_is_for_its_owner_only_and_a_link_to_it_stays(file: Path) -> None:
    file.chmod(0o644)
    link = file.with_name("link.yaml")
    link.symlink_to(file)
    set_values(link, {"Compute.Auth.Token": "secret"})
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("API.Prt", "1", "there is no config key API.Prt"),
        ("API.Port", "70000", "API.Port must be a port number"),
        ("Node.GracePeriod", "soon", "Node.GracePeriod must be a duration"),
        ("Uploads.Quota", "big", "Uploads.Quota must be a size"),
        ("Logging.Level", "loud", "Logging.Level must be one of"),
        ("API", "x", "there is no config key API"),
    ],
)
def test_a_wrong_value_or_key_changes_nothing(file: Path, key: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        set_values(file, {"API.Host": "127.0.0.9", key: value})
    assert file.read_text(encoding="utf-8") == MINE


def test_a_damaged_file_is_left_alone(file: Path) -> None:
    file.write_text("API: [", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is not YAML"):
        set_values(file, {"API.Port": "1"})
    assert file.read_text(encoding="utf-8") == "API: ["


def test_the_shell_sets_and_lists_and_an_option_outranks_both(tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bacalhau_jupyter", *words],
            env={**env, "BACALHAU_DIR": str(tmp_path / "repo")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert run("config", "set", "API.Port", "1299").stdout == f"Wrote {tmp_path / 'repo' / 'config.yaml'}\n"
    assert run("config", "set", "Compute.Auth.Token=hush-hush", "API.Host=127.0.0.7").returncode == 0
    for form in ("table", "csv", "json", "yaml"):
        shown = run("config", "list", "--output", form).stdout
        assert "1299" in shown
        assert "hush-hush" not in shown
    assert "API.Port,77," in run("config", "list", "--output", "csv", "-c", "api.port=77").stdout
    assert "API.Port,1234," in run("config", "default", "--output", "csv").stdout
    wrong = run("config", "set", "API.Prt=1")
    assert wrong.returncode == 1
    assert "Did you mean API.Port?" in wrong.stderr
    # A client takes the option over the file, before its verb and behind it.
    for words in (("-c", "API.Port=9", "job", "list"), ("job", "list", "--api-port", "9")):
        assert "http://127.0.0.7:9 can't be reached" in run(*words).stderr
