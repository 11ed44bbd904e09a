"""The form in a real kernel: its widgets, driven by the messages of a front end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.notebook.conftest import Kernel, Ran

pytestmark = pytest.mark.process
pytest.importorskip("ipywidgets")

HELPERS = """
from bacalhau_jupyter import JobForm
import ipywidgets
def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)
def named(form, description):
    return next(w for w in walk(form.widget) if getattr(w, "description", None) == description)
def texts(form):
    return " ".join(w.value for w in walk(form.widget) if isinstance(w, ipywidgets.HTML))
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the node shares with jobs."""
    directory = tmp_path_factory.mktemp("shared")
    (directory / "some data.csv").write_text("a,b\n1,2\n")
    return directory


@pytest.fixture(scope="module")
def forms(kernel: Kernel, shared: Path) -> Iterator[Kernel]:
    """A kernel with the helpers of these tests; its node starts with the first job."""
    config = {"Compute": {"AllowListedLocalPaths": [f"{shared}/**"]}}
    (kernel.repo.path / "config.yaml").write_text(json.dumps(config))
    run(kernel, HELPERS)
    yield kernel


def run(kernel: Kernel, code: str) -> Ran:
    ran = kernel.run(code)
    assert ran.status == "ok", ran.traceback
    return ran


def send(kernel: Kernel, widget: str, data: dict[str, Any]) -> None:
    """Send what a front end sends for a widget, the value of an expression."""
    model = kernel.value(f"{widget}.model_id")
    message = kernel.client.session.msg("comm_msg", {"comm_id": model, "data": data})
    kernel.client.shell_channel.send(message)


def type_into(kernel: Kernel, description: str, text: str) -> None:
    send(
        kernel,
        f"named(form, {description!r})",
        {"method": "update", "state": {"value": text}, "buffer_paths": []},
    )


def choose(kernel: Kernel, description: str, option: str) -> None:
    index = kernel.value(f"named(form, {description!r}).options.index({option!r})")
    state = {"method": "update", "state": {"index": index}, "buffer_paths": []}
    send(kernel, f"named(form, {description!r})", state)


def click(kernel: Kernel, description: str) -> None:
    send(kernel, f"named(form, {description!r})", {"method": "custom", "content": {"event": "click"}})


def until(ask: Callable[[], Any], timeout_s: float = 60) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
    return answer


def test_a_form_is_filled_by_messages_and_runs_its_job(forms: Kernel) -> None:
    ran = run(forms, "form = %bacalhau form\nform")
    assert "application/vnd.jupyter.widget-view+json" in ran.result
    assert ran.result["text/plain"] == "a form of this job:\n%%bacalhau python\n"
    choose(forms, "Runs", "sh")
    type_into(forms, "Code", "echo from the form; echo x > outputs/made.txt")
    type_into(forms, "Environment", "WORD=hello")
    assert forms.value("str(form.cell)") == (
        "%%bacalhau sh -e WORD=hello\necho from the form; echo x > outputs/made.txt"
    )
    click(forms, "Submit")
    assert until(lambda: forms.value("bool(form.runs) and form.runs[0]._is_over.is_set()"))
    assert forms.value("form.runs[0].result().exit_code") == 0
    assert forms.value("form.runs[0].result().text('outputs/made.txt')") == "x\n"
    shown = forms.value(
        "str([w.outputs for w in walk(form.runs[0].widget) if isinstance(w, ipywidgets.Output)])"
    )
    assert "from the form" in shown
    assert "application/vnd.bacalhau.job+json" in shown
    assert not forms.value("named(form, 'Submit').disabled")


def test_an_empty_form_complains_of_nothing_until_submit_is_pressed(forms: Kernel) -> None:
    run(forms, "form = JobForm()")
    assert until(lambda: forms.value("'free: ' in texts(form)"))
    assert forms.value("form.state.runs") == "python"
    assert "has no body" not in forms.value("texts(form)")
    assert not forms.value("named(form, 'Submit').disabled")
    choose(forms, "Runs", "docker")
    assert until(lambda: forms.value("form.state.runs")) == "docker"
    assert "Missing argument" not in forms.value("texts(form)")
    click(forms, "Submit")
    assert until(lambda: forms.value("'Missing argument' in form._view._fields._notes['image'].value"))
    assert "look at Image (Program)" in forms.value("texts(form)")
    assert forms.value("(len(form.runs), named(form, 'Submit').disabled)") == (0, True)
    type_into(forms, "Image", "busybox")
    assert until(lambda: not forms.value("named(form, 'Submit').disabled"))
    assert "Missing argument" not in forms.value("texts(form)")


def test_a_field_that_somebody_emptied_again_is_marked(forms: Kernel) -> None:
    run(forms, "form = JobForm()")
    type_into(forms, "Code", "1")
    assert "has no body" not in forms.value("texts(form)")
    type_into(forms, "Code", "")
    assert until(lambda: forms.value("'the cell has no body for python to run' in texts(form)"))


def test_variables_travel_with_the_code_of_a_form(forms: Kernel) -> None:
    run(forms, "word = 'carried'\nform = JobForm().fill(code='print(word * 2)', ins='word')")
    assert forms.value("form.submit().result(60).stdout") == "carriedcarried\n"


def test_packages_travel_with_the_code_of_a_form(forms: Kernel) -> None:
    run(forms, "form = JobForm().fill(code='1', pip='no-such-package-at-all==0.0.1; python_version < \"3\"')")
    run(forms, "client, model = form._built(form.state)")
    assert forms.value("len(model.tasks[0].input_sources)") == forms.value(
        "len(form.fill(pip='')._built(form.state)[1].tasks[0].input_sources) + 1"
    )


def test_the_kernel_is_free_while_a_job_of_a_form_runs(forms: Kernel) -> None:
    run(forms, "form = JobForm().fill(runs='sh', code='sleep 600')\nrunning = form.submit()")
    until(lambda: forms.value("running.job is not None"))
    click(forms, "Stop")
    assert until(lambda: forms.value("running._is_over.is_set()"))
    assert forms.value("running.job.state.value") == "Stopped"


def test_what_the_node_shares_is_browsed_and_becomes_an_input(forms: Kernel, shared: Path) -> None:
    run(forms, "form = JobForm().fill(runs='sh', code='cat inputs/*.csv')")
    click(forms, "Browse the node")
    options = "[text for w in walk(form.widget) if isinstance(w, ipywidgets.Select) for text, _ in w.options]"
    run(
        forms,
        "def listing(form): return next(w for w in walk(form.widget) if isinstance(w, ipywidgets.Select))",
    )
    assert until(lambda: forms.value(options)) == ["Local paths/"]
    click(forms, "Open")
    assert until(lambda: [text for text in forms.value(options) if text.startswith("/")])
    click(forms, "Open")
    assert until(lambda: "some data.csv  (8 B)" in forms.value(options))
    click(forms, "Use as input")
    assert forms.value("str(form.cell)").startswith("%%bacalhau sh -i file://")
    assert forms.value("form.submit().result(60).stdout") == "a,b\n1,2\n"


def test_a_form_works_while_its_node_is_away(forms: Kernel) -> None:
    run(forms, "import os; os.environ.update(BACALHAU_API_HOST='127.0.0.1', BACALHAU_API_PORT='9')")
    try:
        run(forms, "form = JobForm().fill(runs='docker', image='busybox', command='ls')")
        assert forms.value("(str(form.cell), form.problems)") == ("%%bacalhau docker busybox -- ls\n", [])
        assert until(lambda: forms.value("'could not check' in texts(form)"))
        click(forms, "Submit")
        assert until(lambda: forms.value("form.runs[0]._is_over.is_set()"))
        assert "not submitted" in forms.value("str(form.runs[0]._card.outputs)")
        assert not forms.value("named(form, 'Submit').disabled")
    finally:
        run(forms, "del os.environ['BACALHAU_API_HOST'], os.environ['BACALHAU_API_PORT']")


def test_two_clicks_make_one_job(forms: Kernel) -> None:
    run(forms, "form = JobForm().fill(runs='sh', code='exit 0')")
    model = forms.value("named(form, 'Submit').model_id")
    for _ in range(2):
        data = {"method": "custom", "content": {"event": "click"}}
        message = forms.client.session.msg("comm_msg", {"comm_id": model, "data": data})
        forms.client.shell_channel.send(message)
    assert until(lambda: forms.value("bool(form.runs) and form.runs[0]._is_over.is_set()"))
    assert forms.value("len(form.runs)") == 1


def test_a_field_that_does_not_exist_is_named(forms: Kernel) -> None:
    ran = forms.run("JobForm().fill(memroy='1gb')")
    assert "did you mean memory?" in ran.traceback


def test_a_wrong_memory_says_the_same_as_the_flag(forms: Kernel) -> None:
    run(forms, "form = JobForm().fill(runs='sh', code='ls')")
    type_into(forms, "Memory", "512")
    flag = forms.run("%%bacalhau sh --memory 512\nls")
    assert flag.status == "error"
    sentence = forms.value("form.problems[0].sentence")
    assert sentence in flag.traceback
    assert "did you mean --memory 512mb?" in forms.value("texts(form)")
    assert forms.value("named(form, 'Submit').disabled")


def test_the_node_checks_what_was_typed(forms: Kernel) -> None:
    run(forms, "form = JobForm().fill(runs='sh', code='ls', count='20000')")
    assert until(lambda: forms.value("[p.sentence for p in form.problems]")) == [
        "job count must be <= 10000 on this node"
    ]
    run(forms, "form.fill(count='2')")
    assert until(lambda: forms.value("'the node would take this job' in texts(form)"))


def test_free_capacity_stands_beside_the_resources(forms: Kernel) -> None:
    run(forms, "form = JobForm()")
    assert until(lambda: forms.value("'free: ' in texts(form)"))
    assert "process" in forms.value("named(form, 'Runs').options")


def test_a_spec_comes_back_into_the_form(forms: Kernel, tmp_path: Path) -> None:
    spec = {
        "Type": "batch",
        "Meta": {"owner": "me"},
        "Tasks": [
            {
                "Name": "odd",
                "Engine": {
                    "Type": "docker",
                    "Params": {"Image": "busybox", "Parameters": ["echo", "<b>x</b>"]},
                },
                "Network": {"Type": "Host", "Ports": [{"Name": "web"}]},
            }
        ],
    }
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(spec))
    for source in (repr(spec), repr(str(path)), f"__import__('pathlib').Path({str(path)!r})"):
        run(forms, f"form = JobForm({source})")
        assert forms.value("form.kept") == ["meta", "ports", "task name"]
        assert "3 fields kept: meta, ports, task name" in forms.value("texts(form)")
        assert forms.value("form.job == form.state.base")


def test_a_job_comes_back_by_its_id_without_what_the_node_added(forms: Kernel) -> None:
    run(
        forms,
        "form = JobForm().fill(runs='sh', code='exit 0', labels='a=b')\nfirst = form.submit().result(60)",
    )
    run(forms, "form = JobForm(first.job.id)")
    job = "form.job.id, form.job.name, form.job.meta, form.job.labels"
    assert forms.value(f"({job})") == ("", "", {}, {"a": "b"})
    assert "exit 0" in forms.value("texts(form)")
    run(forms, "second = form.submit().result(60)")
    assert forms.value("(second.exit_code, second.job.id != first.job.id)") == (0, True)


def test_hostile_names_are_shown_as_text(forms: Kernel) -> None:
    attack = "<img src=x onerror=alert(1)>$\\\\href{javascript:alert(1)}{x}$"
    run(
        forms,
        f"form = JobForm({{'Type': 'batch', 'Name': {attack!r}, 'Tasks': []}})\nform.fill(memory={attack!r})",
    )
    shown = forms.value("texts(form)")
    assert "<img" not in shown
    assert "&lt;img" in shown


def test_the_cell_is_inserted_with_the_next_answer(forms: Kernel) -> None:
    run(forms, "form = JobForm().fill(runs='docker', image='busybox', command='echo hi')")
    click(forms, "Insert cell")
    message = forms.client.execute("1")
    payload = until(lambda: forms.reply(message))["payload"]
    assert [item["text"] for item in payload if item["source"] == "set_next_input"] == [
        "%%bacalhau docker busybox -- echo hi\n"
    ]


def test_yaml_is_offered_only_where_it_can_be_inserted(forms: Kernel) -> None:
    run(forms, "f = JobForm().fill(runs='python', code='1')\nyaml = named(f, 'Insert YAML')")
    assert forms.value("yaml.layout.display") == "none"
    run(forms, "f.fill(runs='docker', image='busybox')")
    assert forms.value("yaml.layout.display") is None
    run(forms, "f.close()")


def test_an_inserted_cell_does_what_the_form_does(forms: Kernel) -> None:
    run(forms, "form = JobForm().fill(runs='sh', code='echo $HOME {x} \\'q\\'', env='A=$HOME {x}')")
    run(forms, "line, _, body = str(form.cell).partition('\\n')")
    ran = run(forms, "get_ipython().run_cell_magic('bacalhau', line[11:], body).stdout")
    run(forms, "mine = form.submit().result(60)")
    assert forms.value("mine.job.tasks[0].env") == {"A": "$HOME {x}"}
    assert ran.result["text/plain"] == repr(forms.value("mine.stdout"))


def test_two_forms_do_not_disturb_each_other_and_a_closed_one_is_over(forms: Kernel) -> None:
    run(forms, "form, other = JobForm(), JobForm()")
    type_into(forms, "CPU", "2")
    assert forms.value("(form.state.cpu, other.state.cpu)") == ("2", "")
    click(forms, "Close")
    assert until(lambda: forms.value("form.widget.comm is None"))
    assert forms.value("other.widget.comm is not None")
    ran = forms.run("form.submit()")
    assert "this form is closed" in ran.traceback


HUGE = """
inputs = [
    {"Source": {"Type": "inline", "Params": {"URL": "data:," + "x" * 5_000_000}}, "Target": f"/i{n}"}
    for n in range(2)
]
task = {
    "Name": "main",
    "Engine": {"Type": "docker", "Params": {"Image": "a"}},
    "Env": {f"V{n}": "x" * 1000 for n in range(2000)},
    "InputSources": inputs,
}
form = JobForm({"Type": "batch", "Tasks": [task]})
"""


def test_a_huge_spec_opens_and_is_kept(forms: Kernel) -> None:
    run(forms, HUGE)
    type_into(forms, "Memory", "1gb")
    assert forms.value("form.job.tasks[0].resources.memory") == "1gb"
    assert forms.value("len(form.job.tasks[0].input_sources[1].source.params['URL'])") == 5_000_006


def test_a_file_that_is_no_spec_is_an_error_of_one_sentence(forms: Kernel, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("a: [")
    ran = forms.run(f"%bacalhau form {path}")
    assert ran.status == "error"
    assert "is not valid YAML" in ran.traceback
    assert "Traceback" not in ran.traceback


def test_without_ipywidgets_the_command_is_named(forms: Kernel) -> None:
    run(
        forms,
        "import sys\nsaved = {name: sys.modules.pop(name) for name in list(sys.modules) if name == 'ipywidgets'}\n"
        "sys.modules['ipywidgets'] = None",
    )
    ran = forms.run("%bacalhau form")
    run(forms, "sys.modules.pop('ipywidgets'); sys.modules.update(saved)")
    assert ran.status == "error"
    assert "%pip install 'bacalhau-jupyter[widgets]'" in ran.traceback
