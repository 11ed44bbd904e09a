"""Which cluster a client talks to, and where it looks after a lost connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.connection.finding import UsualFinder
from bacalhau_jupyter.client.remote.function import usual_client
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.errors import NetworkFailure

NOBODY = ("http://127.0.0.1:1", "http://127.0.0.1:2")


class Moving:
    """A cluster that moves whenever it is lost."""

    is_fixed = False

    def __init__(self) -> None:
        self.lost: list[str] = []

    def find(self, lost: Endpoint | None, *, start: bool) -> Endpoint:
        self.lost.append(lost.url if lost is not None else "")
        return Endpoint(url=NOBODY[len(self.lost) - 1], source="test")


def test_a_lost_connection_is_looked_up_once_with_what_was_lost() -> None:
    finder = Moving()
    with Client(finder=finder) as client, pytest.raises(NetworkFailure, match=NOBODY[1]):
        client.jobs()
    assert finder.lost == ["", NOBODY[0]]


def test_a_given_address_is_not_looked_up_again(tmp_path: Path) -> None:
    with (
        Client(NOBODY[0], data_dir=str(tmp_path)) as client,
        pytest.raises(NetworkFailure, match=NOBODY[0]),
    ):
        client.jobs()


def test_nothing_is_started_unless_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BACALHAU_API_HOST", raising=False)
    finder = UsualFinder(Repo(tmp_path))
    with pytest.raises(NetworkFailure, match="no node is running"):
        finder.find(None, start=False)
    assert not list(tmp_path.glob("*.log"))


def test_a_changed_authority_is_another_client(monkeypatch: pytest.MonkeyPatch) -> None:
    before = usual_client()
    assert usual_client() is before
    monkeypatch.setenv("BACALHAU_API_TLS_CAFILE", "/other.pem")
    assert usual_client() is not before
