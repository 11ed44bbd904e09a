"""Words of a command line that are nearly right, and what a dry run shows: names, no secret and no base64."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
import yaml

from bacalhau_jupyter.cli.main import run

DRY = ("docker", "run", "--dry-run", "busybox")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command line and return what it prints on both streams."""
    run(list(words))
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return printed.out + printed.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--memory", "512"), "did you mean --memory 512mb?"),
        (("--memory", "4 gigs"), "did you mean --memory 4gb?"),
        (("--disk", "10"), "did you mean --disk 10mb?"),
        (("--cpu", "2cores"), "did you mean --cpu 2?"),
        (("--gpu", "one"), "write a whole number: --gpu 1"),
        (("--timeout", "soon"), "write 90s, 1m30s, 2h, or plain seconds"),
        (("--network", "hots"), "'default', 'none', 'host', 'http', 'bridge', 'full'"),
        (("--priority", "high"), "a larger one goes first"),
        (("-p", "s3://b/k,opt=endpont=http://x"), "did you mean endpoint?"),
        (("-i", "nosuchfile.csv"), "no such file here: nosuchfile.csv"),
        (("-e", "NO_SUCH_VARIABLE_HERE"), "no environment variable NO_SUCH_VARIABLE_HERE here to pass on"),
        (("-e", "=x"), "needs a name"),
        (("--memmory", "1gb"), "Did you mean '--memory'?"),
    ],
)
def test_a_wrong_value_names_the_right_form(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in said(capsys, *DRY, *words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((*DRY[:2], "--limit-job-cpu", "1", "busybox"), "serve, and sets JobAdmissionControl.MaxCPU."),
        (("job", "list", "--peer", "none"), "'--peer'. It is a flag of serve and devstack."),
        (("--peer", "none", "serve"), "'--peer'. It is a flag of serve and devstack."),
        (("job", "list", "--entrypoint", "sh"), "'--entrypoint'. It is a flag of docker run"),
        (("serve", "--computes", "3"), "'--computes'. It is a flag of devstack."),
        (("job", "list", "--no-such-flag-anywhere"), "No such option '--no-such-flag-anywhere'.\n"),
    ],
)
def test_a_flag_of_another_verb_names_it(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in said(capsys, *words)


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (("-e", "A=1,B=2"), {"A": "1", "B": "2"}),
        (("-e", "A=1,2"), {"A": "1,2"}),
        (("-e", 'A=1,"B=2,3"'), {"A": "1", "B": "2,3"}),
        (("-e", "A=1", "-e", "B=x=y"), {"A": "1", "B": "x=y"}),
        # The official client makes a variable `-Db` of the first and refuses the second.
        (("-e", "OPTS=-Da=1,-Db=2"), {"OPTS": "-Da=1,-Db=2"}),
        (("-e", "URL=http://x/?a=1,2"), {"URL": "http://x/?a=1,2"}),
    ],
)
def test_variables_are_taken_apart_at_commas_as_officially(
    capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], environment: dict[str, str]
) -> None:
    spec = yaml.safe_load(said(capsys, *DRY[:3], "--exact", *flags, "busybox"))
    assert spec["Tasks"][0]["Env"] == environment


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("job", "lsit"), "Did you mean 'list'?"),
        (("job", "ls"), "Did you mean 'list'?"),
        (("image", "rm", "ubuntu"), "Did you mean 'remove'?"),
        (("image", "prune"), "Did you mean 'clean'?"),
        (("jbo", "list"), "Did you mean 'job'?"),
        (("history", "j-1"), "Did you mean 'job history'?"),
        (
            ("ls",),
            "Did you mean 'config list' or 'host list' or 'image list' or 'job list' or 'node list' or 'profile list'?",
        ),
        (("kill", "j-1"), "Did you mean 'job stop'?"),
        (("quite-another",), "No such command 'quite-another'."),
        (("help", "job", "lsit"), "there is no command 'job lsit'"),
    ],
)
def test_a_wrong_command_names_the_right_ones(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in said(capsys, *words)


def test_help_opens_with_examples_and_groups_flags(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "help", "docker", "run")
    parts = [
        "Examples:",
        "bacalhau-jupyter docker run ubuntu -- echo hello",
        "Usage:",
        "Data:",
        "What runs it:",
        "Names:",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert text == said(capsys, "docker", "run", "--help")


def test_commands_that_only_we_have_are_marked_and_the_mark_is_explained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    meaning = "+ not in the official Bacalhau command line"
    text = said(capsys, "--help")
    assert {line.split()[0] for line in text.splitlines() if " +  " in line} >= {"attach", "explain", "form"}
    assert meaning in text
    assert meaning in said(capsys, "job", "--help")
    assert meaning not in said(capsys, "docker", "--help")
    alone = said(capsys, "explain", "--help")
    assert meaning not in alone
    assert "official Bacalhau command line does not have this command" in alone


def test_every_command_that_is_ours_exists() -> None:
    from bacalhau_jupyter.grammar import bacalhau
    from bacalhau_jupyter.grammar.help import OURS

    for path in OURS:
        command: click.Command | None = bacalhau
        for word in path.split():
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), word)
        assert command is not None, path


def test_every_flag_of_a_long_command_has_a_group() -> None:
    from bacalhau_jupyter.grammar import bacalhau, jobs
    from bacalhau_jupyter.grammar.engines import docker
    from bacalhau_jupyter.grammar.help import ungrouped
    from bacalhau_jupyter.notebook.cell_grammar import cell

    groups = (cell, jobs.job, docker.docker)
    commands = [command for group in groups for command in group.commands.values()]
    for command in (*commands, bacalhau.commands["run-notebook"]):
        assert ungrouped(command.params) == [], command.name


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1m30s", 90), ("2h", 7200), ("0.5s", 1), ("0", 0)]
)
def test_a_duration_is_seconds_or_a_number_with_units(
    capsys: pytest.CaptureFixture[str], text: str, seconds: int
) -> None:
    spec = yaml.safe_load(said(capsys, *DRY, "--timeout", text, "--queue-timeout", text))
    timeouts = spec["Tasks"][0]["Timeouts"]
    assert (timeouts.get("TotalTimeout", 0), timeouts.get("QueueTimeout", 0)) == (seconds, seconds or 1)


def test_labels_and_the_entrypoint_come_one_by_one_or_with_commas(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-l", "a=1,b=2", "-l", "c=3", "-l", '"d=x,y"', "--entrypoint", "sh,-c")
    spec = yaml.safe_load(said(capsys, *DRY, *words))
    assert spec["Labels"] == {"a": "1", "b": "2", "c": "3", "d": "x,y"}
    assert spec["Tasks"][0]["Engine"]["Params"]["Entrypoint"] == ["sh", "-c"]


def test_a_variable_of_the_shell_is_passed_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREETING", "hello=you")
    assert "GREETING: hello=you" in said(capsys, *DRY, "-e", "GREETING")
    assert "did you mean GREETING?" in said(capsys, *DRY, "-e", "GREETNIG")


def test_a_dry_run_shows_names_and_no_secret_and_the_exact_one_can_be_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    words = (*DRY, "-i", str(tmp_path / "a.csv"), "-e", "API_TOKEN=hunter2", "-e", "LR=0.1")
    text = said(capsys, *words)
    assert "hunter2" not in text
    assert "base64" not in text
    source = yaml.safe_load(text)["Tasks"][0]["InputSources"][0]
    assert source["Source"]["Params"] == {"Data": "… 4 B"}
    assert (source["Alias"], source["Target"]) == (str(tmp_path / "a.csv"), "/inputs/a.csv")
    exact = said(capsys, *words, "--exact")
    (tmp_path / "job.yaml").write_text(exact)
    assert yaml.safe_load(exact)["Tasks"][0]["Env"] == {"API_TOKEN": "hunter2", "LR": "0.1"}
    assert "is a valid job spec" in said(capsys, "job", "validate", str(tmp_path / "job.yaml"))


def test_a_spec_whose_secrets_were_masked_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(said(capsys, *DRY, "-e", "API_TOKEN=hunter2"))
    assert "the value of API_TOKEN is masked" in said(capsys, "job", "validate", str(tmp_path / "job.yaml"))


TEMPLATE = """
Name: "{{.title}}"
Type: batch
Tasks: [{Name: main, Engine: {Type: noop, Params: {Text: "{{ .GREETING_OF_TEST }}"}}}]
"""


def test_a_spec_is_filled_in_before_it_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(TEMPLATE)
    monkeypatch.setenv("GREETING_OF_TEST", "hello")
    assert "there is no value for {{.title}}" in said(capsys, "job", "run", str(file))
    assert "-V/--template-vars needs KEY=VALUE" in said(capsys, "job", "run", "-V", "=x", str(file))
    refused = said(
        capsys, "job", "run", "-V", "title=a", "-E", "^GREETING_", "-V", "Foo=1", str(file), "--bad"
    )
    assert "No such option" in refused
    file.write_text(TEMPLATE + "{{.field}}: 1\n")
    # The field that is refused shows that the values arrived.
    words = ("job", "run", str(file), "-V", "title=a,b", "-V", "field=Foo", "-E", "GREETING_OF")
    assert f"{file}: Foo: unknown field" in said(capsys, *words)


def test_an_unknown_field_is_refused_by_run_and_validate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("Type: batch\nTasks: [{Name: main, Engine: {Type: noop}, InputSource: []}]\n")
    for verb in ("run", "validate"):
        assert "Tasks[0].InputSource: unknown field; did you mean InputSources?" in said(
            capsys, "job", verb, str(file)
        )


@pytest.mark.parametrize(
    ("word", "kind"), [("Full", "Host"), ("host", "Host"), ("HTTP", "HTTP"), ("bridge", "Bridge")]
)
def test_a_network_is_named_in_any_case_and_by_its_old_name(
    capsys: pytest.CaptureFixture[str], word: str, kind: str
) -> None:
    domain = ("--domain", "example.com") if kind == "HTTP" else ()
    printed = said(capsys, "docker", "run", "--dry-run", "--network", word, *domain, "busybox")
    assert f"Type: {kind}\n" in printed
