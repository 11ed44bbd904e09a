"""What a person types at the moment when the node's answer comes into the form."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.models.records.node import NodeState
from bacalhau_jupyter.notebook.form.form import JobForm, Notebook
from tests.notebook.form.test_around import node
from tests.services.common import wait_until

pytest.importorskip("ipywidgets")


class Cluster:
    """Stands for the notebook and its client: what its nodes are changes while the form is open."""

    def __init__(self, *engines: str) -> None:
        self.engines = list(engines)
        self.session = SimpleNamespace(peek=lambda context: self)

    def nodes(self) -> list[NodeState]:
        return [node("n-1", 4, engines=self.engines)]

    def call(self, ask: object) -> object:
        raise NetworkFailure("it checks no spec")


def widget_of(form: JobForm, description: str) -> Any:
    waiting = [form.widget]
    while waiting:
        widget = waiting.pop()
        if getattr(widget, "description", None) == description:
            return widget
        waiting += getattr(widget, "children", ())
    raise LookupError(description)


def opened_with(cluster: Cluster) -> JobForm:
    form = JobForm(notebook=cast(Notebook, cluster))
    assert wait_until(lambda: not form._offers.problem, timeout_s=60)
    return form


def while_offers_come(form: JobForm, description: str, text: str) -> None:
    """Let a person type while the thread that asked the nodes writes what they offer."""
    typed = threading.Event()
    writing = threading.Event()

    def hold(_: object) -> None:
        writing.set()
        typed.wait(60)

    runs = widget_of(form, "Runs")
    runs.observe(hold, names="_options_labels")
    asking = threading.Thread(target=form._ask_nodes)
    asking.start()
    assert writing.wait(60)
    field = widget_of(form, description)
    typing = threading.Thread(target=lambda: setattr(field, "value", text))
    typing.start()
    # It waits for the other one, where it does what it should.
    typing.join(0.5)
    runs.unobserve(hold, names="_options_labels")
    typed.set()
    asking.join(60)
    typing.join(60)


def test_code_that_is_typed_while_the_offers_come_is_taken() -> None:
    cluster = Cluster("docker", "process")
    form = opened_with(cluster)
    cluster.engines.append("wasm")
    while_offers_come(form, "Code", "print(42)")
    assert "wasm" in widget_of(form, "Runs").options
    assert (form.state.code, widget_of(form, "Code").value) == ("print(42)", "print(42)")
    assert str(form.cell).splitlines()[-1] == "print(42)"


def test_what_was_chosen_stays_when_the_offers_come() -> None:
    cluster = Cluster("docker", "process")
    form = opened_with(cluster)
    widget_of(form, "Runs").value = "sh"
    cluster.engines[:] = ["docker", "wasm"]
    form._ask_nodes()
    assert (form.state.runs, widget_of(form, "Runs").value) == ("sh", "sh")


def test_a_form_whose_cluster_runs_no_bodies_opens_with_what_it_runs_and_keeps_what_was_typed() -> None:
    cluster = Cluster("docker", "process")
    form = opened_with(cluster)
    cluster.engines[:] = ["wasm"]
    while_offers_come(form, "Name", "mine")
    assert (form.state.runs, form.state.name) == ("wasm", "mine")
    assert widget_of(form, "Name").value == "mine"
