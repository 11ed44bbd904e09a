"""The Stop button: a real kernel, and a client that speaks Jupyter's messaging protocol as JupyterLab does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.notebook.display import MIME
from bacalhau_jupyter.notebook.widgets import WIDGET_VIEW, StopControl
from tests.notebook.conftest import Kernel, Ran

pytestmark = pytest.mark.timeout(300)


class FrontEnd:
    """Runs a cell, notes the widgets it opens, and gives each comm target a subshell, as JupyterLab does."""

    def __init__(self, kernel: Kernel, *, subshells: bool = True) -> None:
        self.kernel = kernel
        self.models: dict[str, dict[str, Any]] = {}
        self.closed: set[str] = set()
        self.subshell: str | None = None
        self._subshells = subshells

    def run(self, code: str, press: Any = None, timeout: float = 60) -> Ran:
        ran, client = Ran(), self.kernel.client
        message = client.execute(code, allow_stdin=False)
        deadline = time.monotonic() + timeout
        pressed = False
        while True:
            reply = client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            kind, content = reply["header"]["msg_type"], reply["content"]
            self._comm(kind, content)
            if press is not None and not pressed and press(ran):
                pressed = True
                self.press()
            if reply["parent_header"].get("msg_id") != message:
                continue
            if self.kernel._take(ran, kind, content):
                break
        ran.status = self.kernel.reply(message)["status"]
        return ran

    def _comm(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "comm_open":
            self.models[content["comm_id"]] = dict(content["data"]["state"])
            if self._subshells and self.subshell is None:
                self.subshell = self.create_subshell()
        elif kind == "comm_msg" and content["data"].get("method") == "update":
            self.models.setdefault(content["comm_id"], {}).update(content["data"]["state"])
        elif kind == "comm_close":
            self.closed.add(content["comm_id"])

    def create_subshell(self) -> str:
        client = self.kernel.client
        request = client.session.msg("create_subshell_request")
        client.control_channel.send(request)
        while True:
            answer = client.get_control_msg(timeout=10)
            if answer["parent_header"].get("msg_id") == request["header"]["msg_id"]:
                return str(answer["content"]["subshell_id"])

    def delete_subshell(self) -> None:
        client = self.kernel.client
        client.control_channel.send(
            client.session.msg("delete_subshell_request", {"subshell_id": self.subshell})
        )
        client.get_control_msg(timeout=10)

    @property
    def button(self) -> str:
        return next(key for key, state in self.models.items() if state.get("_model_name") == "ButtonModel")

    def press(self) -> None:
        client = self.kernel.client
        data = {"method": "custom", "content": {"event": "click"}}
        message = client.session.msg("comm_msg", {"comm_id": self.button, "data": data})
        message["header"]["subshell_id"] = self.subshell
        client.shell_channel.send(message)


@pytest.fixture
def front_end(kernel: Kernel) -> Iterator[FrontEnd]:
    pytest.importorskip("ipywidgets")
    made = FrontEnd(kernel)
    yield made
    if made.subshell is not None:
        made.delete_subshell()


def views(ran: Ran) -> list[bool]:
    return [WIDGET_VIEW in bundle for bundle in ran.displays]


def test_stop_pressed_while_the_cell_blocks_stops_the_job(kernel: Kernel, front_end: FrontEnd) -> None:
    begun = time.monotonic()
    ran = front_end.run(
        "%%bacalhau sh\necho started; sleep 60", press=lambda ran: any(views(ran)) and "started" in ran.stdout
    )
    assert time.monotonic() - begun < 30
    assert ran.status == "error"
    assert ran.error["ename"] == "CellFailed"
    assert "was stopped: stopped in the notebook" in ran.traceback
    record = ran.displays[-1]
    assert record[MIME]["state"] == "Stopped"
    assert kernel.value(
        f"__import__('bacalhau_jupyter').Client().job('{record[MIME]['job_id']}').state.value"
    ) == ("Stopped")
    assert front_end.models[front_end.button]["description"] == "Stopping…"


def test_the_widget_leaves_only_the_record_behind(kernel: Kernel, front_end: FrontEnd) -> None:
    ran = front_end.run("%%bacalhau sh\nsleep 4")
    assert ran.status == "ok", ran.traceback
    # All displays are updates of one output: shown plain, once with the widget, and plain again at the end.
    assert views(ran).count(True) == 1
    assert not views(ran)[-1]
    assert all(MIME in bundle and "text/html" in bundle for bundle in ran.displays)
    texts = [state["value"] for state in front_end.models.values() if state.get("_model_name") == "HTMLModel"]
    assert f"job {ran.displays[-1][MIME]['job_id'][:10]}" in texts[0]
    assert front_end.closed == set(front_end.models)
    assert kernel.value("len(__import__('ipywidgets').widgets.widget._instances)") == 0


def test_a_front_end_without_subshells_gets_no_button(kernel: Kernel) -> None:
    pytest.importorskip("ipywidgets")
    front_end = FrontEnd(kernel, subshells=False)
    ran = front_end.run("%%bacalhau sh\nsleep 3")
    assert ran.status == "ok", ran.traceback
    assert not any(views(ran))
    assert front_end.closed == set(front_end.models)


def test_somebody_elses_subshell_is_no_proof_that_clicks_arrive(kernel: Kernel) -> None:
    pytest.importorskip("ipywidgets")
    front_end = FrontEnd(kernel, subshells=False)
    front_end.subshell = front_end.create_subshell()
    try:
        assert not any(views(front_end.run("%%bacalhau sh\nsleep 3")))
    finally:
        front_end.delete_subshell()


def test_quick_cells_make_no_widget(kernel: Kernel, front_end: FrontEnd) -> None:
    front_end.run("%%bacalhau sh\ntrue")
    assert front_end.models == {}


def test_an_interrupt_still_works_and_takes_the_widget_away(kernel: Kernel, front_end: FrontEnd) -> None:
    done = threading.Event()

    def interrupt(ran: Ran) -> bool:
        if any(views(ran)) and not done.is_set():
            done.set()
            kernel.interrupt()
        return False

    ran = front_end.run("%%bacalhau sh\nsleep 60", press=interrupt)
    assert ran.error["ename"] == "CellInterrupted"
    assert not views(ran)[-1]
    assert front_end.closed == set(front_end.models)


@pytest.mark.process
def test_without_ipywidgets_a_cell_shows_its_state_line_alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    made = Kernel(Repo.open(tmp_path_factory.mktemp("repo") / "repo"), tmp_path_factory.mktemp("notebook"))
    try:
        made.run(
            "import sys; sys.modules['ipywidgets'] = None\n"
            "get_ipython().run_line_magic('load_ext', 'bacalhau_jupyter')"
        )
        front_end = FrontEnd(made)
        ran = front_end.run("%%bacalhau sh\nsleep 2; echo done")
        assert (ran.status, ran.stdout) == ("ok", "done\n"), ran.traceback
        assert front_end.models == {}
        assert any("running" in bundle[MIME]["phase"] for bundle in ran.displays)
    finally:
        made.close()


def test_a_kernel_without_subshells_never_makes_a_widget() -> None:
    shown: list[dict[str, Any]] = []
    control = StopControl("j-1", None, lambda bundle, display_id, update: shown.append(bundle))
    control._born -= 60
    control.tick()
    control.put({"text/html": "x"}, "id", False)
    assert shown == [{"text/html": "x"}]
    assert control._widget is None
