"""The cell that a form shows means what the form means."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.client.inputs.uri import parse_input
from bacalhau_jupyter.client.jobs import build
from bacalhau_jupyter.grammar import read_spec
from bacalhau_jupyter.grammar.flags.options import job_options
from bacalhau_jupyter.lib.masking import MASK
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.normalize import normalize_job
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from bacalhau_jupyter.notebook.cell_grammar import cell as cell_group
from bacalhau_jupyter.notebook.filling import words_of
from bacalhau_jupyter.notebook.form.cell_text import cell_text, code_words, yaml_text
from bacalhau_jupyter.notebook.form.checking import check
from bacalhau_jupyter.notebook.form.showing import shown
from bacalhau_jupyter.notebook.form.state import FormState, InputRow, blank_job
from tests.notebook.form.specs import JOBS, URIS


def form(**texts: Any) -> FormState:
    return shown(blank_job()).changed(**texts)


def cell_of(state: FormState) -> str:
    return str(cell_text(state, check(state)[0]))


def job_of_line(line: str) -> Job:
    """Build the job of a ``%%bacalhau docker`` cell without a body, as the magic does."""
    with cell_group.make_context("%%bacalhau", words_of(line, {})) as context:
        values = cell_group.invoke(context)
    engine = build.docker_engine(
        values["image"], values["command"], entrypoint=values["entrypoint"], workdir=values["workdir"]
    )
    return build.job_of(engine, job_options(values, lambda: pytest.fail("a client was asked for")))


WORDS = st.text(st.sampled_from("ab -'\"$é<>&{}\\"), min_size=1, max_size=6).filter(str.strip)
FORMS = st.builds(
    form,
    runs=st.sampled_from(["docker", "docker", "process"]),
    image=st.sampled_from(["busybox", "python:3.12", "reg.io/a/b@sha256:1"]),
    command=st.lists(WORDS, max_size=3).map(shlex.join),
    entrypoint=st.sampled_from(["", "sh -c", "'-x y' z"]),
    inputs=st.lists(st.sampled_from(URIS).map(InputRow), max_size=2, unique_by=lambda row: row.text),
    outputs=st.sampled_from(["outputs:/outputs", "outputs:/outputs\nmore:/m", "a:/b", ""]),
    publisher=st.sampled_from(["local", "", "ipfs", "s3://b/k,opt=region=r"]),
    env=st.lists(st.tuples(st.sampled_from(["A", "B"]), WORDS.map(str.strip)), max_size=2).map(
        lambda pairs: "\n".join(f"{name}={value}" for name, value in pairs)
    ),
    labels=st.sampled_from(["", "a=b\nc", "team=x y"]),
    cpu=st.sampled_from(["", "500m"]),
    memory=st.sampled_from(["", "1gb"]),
    gpu=st.sampled_from(["", "1"]),
    timeout=st.sampled_from(["", "90", "1m30s"]),
    queue_timeout=st.sampled_from(["24h", "10s", ""]),
    execution_timeout=st.sampled_from(["", "", "5s"]),
    constraints=st.sampled_from(["", "zone in (a,b),!spot"]),
    kind=st.sampled_from(["batch", "batch", "ops", "service"]),
    count=st.sampled_from(["1", "3", "0"]),
    name=st.sampled_from(["", "my job", "-x"]),
    network=st.sampled_from(["", "Default", "Host", "HTTP"]),
    domains=st.sampled_from(["", "example.com"]),
    priority=st.sampled_from(["", "-4", "7"]),
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(FORMS)
def test_the_cell_makes_the_same_job_as_the_form(state: FormState) -> None:
    job, _ = check(state)
    cell = cell_text(state, job)
    made = read_spec(cell.body, "the body") if cell.line == "job" else job_of_line(cell.line)
    assert normalize_job(made) == normalize_job(job)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    FORMS,
    st.sampled_from(["python", "sh", "bash", "sql"]),
    st.sampled_from(["", "polars>=1\nnumpy"]),
    st.sampled_from(["", "frame\nlimit"]),
    st.sampled_from(["", "/work dir"]),
)
def test_the_cell_of_a_body_says_all_that_the_form_submits(
    state: FormState, language: str, pip: str, ins: str, workdir: str
) -> None:
    state = state.changed(runs=language, code="print('a')\n", pip=pip, ins=ins, workdir=workdir)
    job, _ = check(state)
    cell = cell_text(state, job)
    assert cell.body == state.code
    with cell_group.make_context("%%bacalhau", words_of(cell.line, {})) as context:
        values = cell_group.invoke(context)
    # What runs the body is made by the same code of the same words, for cell and form.
    with cell_group.make_context("%%bacalhau", code_words(state)) as context:
        submitted = cell_group.invoke(context)
    for name in ("language", "ins", "image", "workdir", "gpu", *(["pip"] if language == "python" else [])):
        assert values[name] == submitted[name]
    if "flags can't say all of this; Submit does" not in cell.notes:
        flags = job_options(
            {**values, "pip": (), "requirements": ()}, lambda: pytest.fail("a client was asked for")
        )
        made = build.job_of(SpecConfig(), flags)
        bare = replace(job, tasks=[replace(job.task, engine=SpecConfig())])
        assert normalize_job(made) == normalize_job(bare)


def test_packages_are_for_python_bodies_as_their_field_is() -> None:
    state = form(runs="python", code="1", pip="polars")
    assert code_words(state) == ["python", "--pip", "polars"]
    assert code_words(state.changed(runs="sh")) == ["sh"]
    assert cell_of(state.changed(runs="sh")) == "%%bacalhau sh\n1"


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(JOBS)
def test_exact_yaml_is_read_back_as_the_same_job(job: Job) -> None:
    plain = [replace(task, env={}) for task in job.tasks]
    job = replace(job, tasks=plain)
    assert normalize_job(read_spec(yaml_text(job, exact=True).text, "it")) == normalize_job(job)


def test_flags_are_left_out_where_they_say_nothing() -> None:
    assert cell_of(form(image="ubuntu", command="echo 'a b'")) == "%%bacalhau docker ubuntu -- echo 'a b'\n"


def test_a_body_follows_the_line_of_its_language() -> None:
    state = form(runs="python", code="print(1)\n", memory="1gb", env="A=b c")
    assert cell_of(state) == "%%bacalhau python -e 'A=b c' --memory 1gb\nprint(1)\n"


def test_packages_and_variables_travel_with_a_body() -> None:
    state = form(runs="python", code="frame", pip="polars>=1\nx", ins="frame")
    assert cell_text(*_checked(state)).notes == []
    assert cell_of(state) == "%%bacalhau python --pip 'polars>=1' --pip x --in frame\nframe"


def test_what_is_wrong_stays_in_the_line_as_it_was_typed() -> None:
    state = form(image="a", memory="512", kind="service")
    assert cell_text(state, check(state)[0], is_valid=False).line == "docker --memory 512 a"


def test_the_yaml_of_a_body_names_no_engine() -> None:
    text = yaml_text(check(form(runs="sh", code="ls"))[0], is_code=True)
    assert "docker" not in text.text
    assert text.notes == ["the code, and what runs it, join the YAML when the job is submitted"]


def test_what_no_flag_says_becomes_yaml() -> None:
    cell = cell_text(*_checked(form(image="ubuntu", kind="service")))
    assert cell.line == "job"
    assert read_spec(cell.body, "it").type == "service"


def test_a_body_with_more_than_flags_say_has_a_note() -> None:
    cell = cell_text(*_checked(form(runs="sh", code="ls", execution_timeout="5s")))
    assert cell.notes == ["flags can't say all of this; Submit does"]


@pytest.mark.parametrize("kind", ["batch", "service"])
def test_secrets_are_masked_in_flags_and_yaml(kind: str) -> None:
    state = form(image="a", env="API_TOKEN=hunter2", kind=kind)
    text = cell_of(state)
    assert "hunter2" not in text
    assert MASK in text
    assert check(state)[0].task.env == {"API_TOKEN": "hunter2"}


def test_a_secret_of_a_spec_is_masked_in_the_field_and_kept() -> None:
    job = build.docker("a", env={"API_TOKEN": "hunter2", "B": "c"})
    state = shown(job)
    assert "hunter2" not in state.env
    changed, problems = check(state.changed(env=state.env + "\nC=d"))
    assert problems == []
    assert changed.task.env == {"API_TOKEN": "hunter2", "B": "c", "C": "d"}


def test_a_file_of_this_machine_is_a_flag_and_a_note_in_yaml(tmp_path: Any) -> None:
    (tmp_path / "data.csv").write_text("a,b")
    state = form(image="a", inputs=(InputRow(str(tmp_path / "data.csv")),))
    assert f"-i {tmp_path / 'data.csv'}" in cell_of(state)
    text = yaml_text(check(state)[0])
    assert "placeholder" not in text.text
    assert text.notes == [f"{tmp_path / 'data.csv'} is not in the YAML: only Submit and flags send it"]


def test_long_data_is_shortened_in_what_is_shown_only() -> None:
    job = build.docker("a", inputs=[parse_input("ipfs://x"), build.inline(b"x" * 9000, "/inputs/x")])
    assert len(yaml_text(job).text) < 2000
    assert read_spec(yaml_text(job, exact=True).text, "it") == job


def test_what_nobody_sees_is_spelled_out() -> None:
    text = yaml_text(build.docker("a", name="a\u202eb\x1b")).text
    assert "\u202e" not in text
    assert read_spec(text, "it").name == "a\u202eb\x1b"


def _checked(state: FormState) -> tuple[FormState, Job]:
    return state, check(state)[0]
