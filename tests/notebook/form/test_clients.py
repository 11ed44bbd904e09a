"""The clients of a kernel: one for each cluster, in whatever thread it is wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bacalhau_jupyter.client.remote import function
from bacalhau_jupyter.notebook import session
from bacalhau_jupyter.notebook.session import NotebookSession


class HeldClient:
    """The first one is made when it may."""

    made: list[object]
    begun: threading.Event
    go_on: threading.Event

    def __init__(self, **options: Any) -> None:
        self.made.append(self)
        if len(self.made) == 1:
            self.begun.set()
            assert self.go_on.wait(60)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> type[HeldClient]:
    HeldClient.made, HeldClient.begun, HeldClient.go_on = [], threading.Event(), threading.Event()
    monkeypatch.setattr(session, "Client", HeldClient)
    monkeypatch.setattr(function, "Client", HeldClient)
    monkeypatch.setattr(function, "_clients", {})
    return HeldClient


def given_to_two_threads(client: Callable[[], object], held: type[HeldClient]) -> list[object]:
    clients: list[object] = []
    threads = [threading.Thread(target=lambda: clients.append(client())) for _ in range(2)]
    threads[0].start()
    assert held.begun.wait(60)
    threads[1].start()
    # It waits for the other one, where it does what it should.
    threads[1].join(0.5)
    held.go_on.set()
    for thread in threads:
        thread.join(60)
    return clients


def test_a_cell_and_the_thread_of_a_form_share_one_client(held: type[HeldClient]) -> None:
    shell_session = NotebookSession(cast(Any, SimpleNamespace()), cast(Any, None))
    clients = given_to_two_threads(shell_session.client, held)
    # The lease of one that nobody knows any more would never be given back.
    assert clients == [held.made[0], held.made[0]]


def test_calls_that_are_awaited_together_share_one_client(held: type[HeldClient]) -> None:
    clients = given_to_two_threads(function.usual_client, held)
    assert clients == [held.made[0], held.made[0]]
