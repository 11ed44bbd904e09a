"""A form says what is wrong as one types, in the words of flags and node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.client.jobs import build
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.validate import validate_submission
from bacalhau_jupyter.notebook.form.cell_text import cell_text, yaml_text
from bacalhau_jupyter.notebook.form.checking import broken_rules, check, worth_showing
from bacalhau_jupyter.notebook.form.showing import empty_form, kept, shown
from bacalhau_jupyter.notebook.form.state import TEXT_FIELDS, FormState, InputRow, Problem, as_text, blank_job


def form(**texts: Any) -> FormState:
    return shown(blank_job()).changed(**{"image": "busybox", **texts})


def problems(**texts: Any) -> list[Problem]:
    return check(form(**texts))[1]


@pytest.mark.parametrize(
    ("name", "text", "flag"),
    [
        ("memory", "512", {"memory": "512"}),
        ("memory", "lots", {"memory": "lots"}),
        ("cpu", "two", {"cpu": "two"}),
        ("disk", "9", {"disk": "9"}),
        ("gpu", "half", {"gpu": "half"}),
        ("timeout", "soon", {"timeout": "soon"}),
        ("queue_timeout", "soon", {"queue_timeout": "soon"}),
        ("publisher", "s4://x", {"publisher": "s4://x"}),
        ("publisher", "s3://b/k,opt=endpont=x", {"publisher": "s3://b/k,opt=endpont=x"}),
        ("constraints", "a=b,,", {"constraints": "a=b,,"}),
        ("outputs", "a:b", {"outputs": ["a:b"]}),
        ("network", "None such", {"network": "None such"}),
    ],
)
def test_a_wrong_text_says_the_same_as_the_flag(name: str, text: str, flag: dict[str, Any]) -> None:
    with pytest.raises(BacalhauError) as error:
        build.docker("busybox", **flag)
    assert problems(**{name: text}) == [Problem(name, error.value.message, error.value.hint)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nosuchfile.csv", "no such file here"),
        ("scr=s3://b/k", "does not know"),
        ("s3://b/k,opt=regoin=x", "has no option 'regoin'"),
        ("\0", ""),
    ],
)
def test_a_wrong_input_is_named(text: str, sentence: str) -> None:
    (problem,) = problems(inputs=(InputRow(text),))
    assert sentence in problem.sentence
    assert problem.field == "inputs"


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        ({"env": "lower=x"}, "env"),
        ({"env": "A="}, "env"),
        ({"count": "-1"}, "count"),
        ({"kind": "odd"}, "kind"),
        ({"kind": "ops", "count": "3"}, "count"),
        ({"domains": "no domain", "network": "HTTP"}, "domains"),
        ({"domains": "example.com"}, "domains"),
        ({"publisher": ""}, "publisher"),
        ({"timeout": "10s", "execution_timeout": "20s"}, "timeout"),
        ({"inputs": (InputRow("s3://b/k"), InputRow("s3://b/l"))}, "inputs"),
        ({"outputs": "a:/x\nb:/x"}, "outputs"),
    ],
)
def test_a_rule_of_the_node_blames_the_field(texts: dict[str, Any], field: str) -> None:
    assert [problem.field for problem in problems(**texts)] == [field]


def test_the_sentences_are_those_of_the_node() -> None:
    job, broken = check(form(env="lower=x"))
    with pytest.raises(BacalhauError) as error:
        validate_submission(job)
    assert [problem.sentence for problem in broken] == error.value.message.split("\n")


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        ({"image": ""}, "image"),
        ({"runs": "python"}, "code"),
        ({"runs": "process"}, "command"),
    ],
)
def test_what_is_missing_is_named(texts: dict[str, Any], field: str) -> None:
    assert [problem.field for problem in problems(**texts)] == [field]


@pytest.mark.parametrize("runs", ["python", "sh", "docker", "process"])
def test_what_nobody_was_at_is_not_shown_as_wrong(runs: str) -> None:
    (missing,) = problems(runs=runs, image="")
    assert worth_showing([missing], {"runs", "memory"}) == []
    assert worth_showing([missing], {missing.field}) == [missing]
    (wrong,) = problems(memory="512")
    assert worth_showing([wrong], ()) == [wrong]


def test_an_empty_form_shows_no_problem() -> None:
    assert worth_showing(check(empty_form())[1], ()) == []


def test_each_rule_has_its_own_hint() -> None:
    job = Job(type="odd", tasks=build.docker("a", env={"x": "y"}).tasks)
    hints = {problem.field: problem.hint for problem in broken_rules(job)}
    assert hints == {
        "kind": "Set Type to batch, service, ops or daemon.",
        "env": "Names look like MY_NAME; values are text or env:NAME.",
    }


def test_every_wrong_field_is_named_at_once() -> None:
    assert {problem.field for problem in problems(memory="x", cpu="y", env="no")} == {"memory", "cpu", "env"}


def test_our_own_queue_time_keeps_within_the_total() -> None:
    job, broken = check(form(timeout="10m"))
    assert broken == []
    assert job.task.timeouts.queue_timeout == 600


def test_an_input_is_checked_without_being_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0)
    assert problems(inputs=(InputRow(str(secret)), InputRow("job:j-123:/other"))) == []


def test_quotes_that_do_not_match_are_a_problem_of_the_command() -> None:
    (problem,) = problems(command="echo 'a")
    assert problem.field == "command"


def test_a_variable_without_a_value_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "yes")
    assert check(form(env="FROM_HERE"))[0].task.env == {"FROM_HERE": "yes"}


def test_a_mask_is_no_value() -> None:
    (problem,) = problems(env="API_TOKEN=***")
    assert problem.sentence == "the value of API_TOKEN is masked (***)"


def test_another_engine_drops_the_parameters_of_the_first() -> None:
    job, _ = check(shown(build.docker("a", "b", workdir="/w")).changed(runs="process", command="ls -l"))
    assert job.task.engine.params == {"Command": ["ls", "-l"], "WorkingDirectory": "/w"}


def test_what_a_form_keeps_is_named() -> None:
    job = build.docker("a", inputs=[build.inline(b"x", "/inputs/x")], env={"A": "b\nc"})
    assert kept(job) == ["inputs", "environment variables"]


ANYTHING = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(codec="utf-8"), max_size=6),
    st.sampled_from(["~nobody-here/x", "\0", "a" * 5000, "{", "'", "-", "--", "-x", "%s", "9" * 5000]),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*TEXT_FIELDS, "inputs"]), ANYTHING, st.sampled_from(["docker", "python", "process"]))
def test_whatever_is_typed_is_a_problem_at_most(name: str, text: str, runs: str) -> None:
    value: Any = (InputRow(text),) if name == "inputs" else text
    state = form(**{"runs": runs, "code": "x", "command": "x", name: value})
    job, broken = check(state)
    assert str(cell_text(state, job, is_valid=not broken)).encode(errors="backslashreplace")
    assert yaml_text(job, is_code=state.is_code).text


def test_half_a_character_is_a_question_mark() -> None:
    assert as_text("a\ud800b") == "a?b"


def test_an_empty_job_has_problems_and_no_accident() -> None:
    assert broken_rules(Job())
    assert check(shown(Job()))[1]
