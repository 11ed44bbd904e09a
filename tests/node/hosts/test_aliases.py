"""The hosts of an ssh configuration, and the Docker contexts, that a person may choose from."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.records.hosts import SshAlias
from bacalhau_jupyter.node.hosts.aliases import read_aliases

CONFIG = """\
Include conf.d/*.conf
Host gpu1 gpu2
    HostName 10.0.0.7
    User=alice
Host *.lab !bad?
    User nobody
Match host x
    HostName elsewhere
Host gpu1
    HostName later
host = plain
"""


def test_names_without_wildcards_are_offered_with_where_they_lead(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "work.conf").write_text("Host office\n  HostName office.example\n")
    (tmp_path / "config").write_text(CONFIG)
    assert read_aliases(tmp_path / "config") == [
        SshAlias(name="office", shown="office.example"),
        SshAlias(name="gpu1", shown="alice@10.0.0.7"),
        SshAlias(name="gpu2", shown="alice@10.0.0.7"),
        SshAlias(name="plain"),
    ]
    assert read_aliases(tmp_path / "none") == []


def test_a_configuration_that_includes_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Include config\nHost gpu1\n")
    assert read_aliases(tmp_path / "config") == [SshAlias(name="gpu1")]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_no_configuration_is_a_fault(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "config")
        file.write_text(f"Host a\n{text}", encoding="utf-8")
        assert all(alias.name for alias in read_aliases(file))
