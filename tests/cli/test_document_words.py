"""Every word of older documents has a place in the one table, and does what the table says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import bacalhau_jupyter
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.key import Kind as ValueKind
from bacalhau_jupyter.config.parsing import known_key, parse_value, read_file
from bacalhau_jupyter.config.words import notices
from bacalhau_jupyter.config.words.table import WORDS, flags_of, of
from bacalhau_jupyter.config.words.word import Kind, Standing, Word
from bacalhau_jupyter.grammar import bacalhau
from bacalhau_jupyter.grammar.session import overrides
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError
from tests.config import words_page
from tests.conformance.document_words import load

DOCUMENTED = load()
PACKAGE = Path(bacalhau_jupyter.__file__).parent

SPECIAL = {
    "--node-type": "requester,compute",
    **{word.name: "inmemory" for word in WORDS if word.modern == "Node.Ephemeral"},
    **{word.name: "/data/state.db" for word in WORDS if word.modern == "Node.StateDir"},
    **{word.name: "/data/repo" for word in WORDS if word.name == "--repo"},
}
SAMPLES = {
    ValueKind.TEXT: "10",
    ValueKind.FLAG: "true",
    ValueKind.PORT: "2345",
    ValueKind.DURATION: "90s",
    ValueKind.LIST: "/a,/b",
    ValueKind.MAP: "zone=eu,disk=ssd",
}
NEEDED = {"job logs": ["j"], "job run": ["-"], "docker run": ["img"], "wasm run": ["m"], "job get": ["j"]}
"""Arguments that a verb wants."""


@pytest.fixture(autouse=True)
def every_notice_is_new() -> Iterator[None]:
    notices.forget()
    yield
    notices.forget()


def named(kind: Kind, *standings: Standing) -> list[Word]:
    return [word for word in WORDS if word.kind is kind and word.standing in (standings or tuple(Standing))]


def command_of(path: str) -> tuple[click.Context, click.Command]:
    context = click.Context(bacalhau, info_name="bacalhau")
    command: click.Command = bacalhau
    for name in path.split():
        assert isinstance(command, click.Group)
        below = command.get_command(context, name)
        assert below is not None, path
        command, context = below, click.Context(below, info_name=name, parent=context)
    return context, command


def parsed(path: str, *words: str) -> click.Context:
    context, command = command_of(path)
    return command.make_context(path.split()[-1], [*words, *NEEDED.get(path, [])], parent=context.parent)


def sample_of(word: Word) -> str:
    """Return a value that the word's keys take."""
    if word.name in SPECIAL:
        return SPECIAL[word.name]
    assert word.values is not None
    key = known_key(next(iter(word.values("true"))))
    return key.choices[-1] if key.choices else SAMPLES[key.kind]


def settings_of(word: Word) -> dict[str, object]:
    """Return what the keys of a word become for its sample."""
    assert word.values is not None
    values = word.values(sample_of(word))
    assert values
    return {key: parse_value(known_key(key), text) for key, text in values.items()}


def shown(config: Config, names: object) -> dict[str, object]:
    return {name: config[name] for name in names}  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)
def test_every_word_of_the_documents_has_a_place_in_the_table(kind: Kind) -> None:
    assert len(DOCUMENTED[kind.value]) > 15
    assert set(DOCUMENTED[kind.value]) - set(of(kind)) == set()


def test_a_word_has_one_place_and_a_sentence_or_a_name_of_today() -> None:
    assert [
        name for name, count in Counter((word.kind, word.name) for word in WORDS).items() if count > 1
    ] == []
    for word in WORDS:
        if word.standing is Standing.REPLACED:
            assert word.sentence, word.name
        if word.standing is Standing.RENAMED:
            assert word.modern, word.name


def test_the_page_about_older_versions_is_made_from_the_table() -> None:
    assert words_page.PAGE.read_text() == words_page.page(), "python -m tests.config.words_page writes it"


# ---- verbs


@pytest.mark.parametrize("word", named(Kind.VERB, Standing.WORKS), ids=lambda word: word.name)
def test_a_verb_that_works_is_in_the_help(word: Word) -> None:
    assert not command_of(word.name)[1].hidden


@pytest.mark.parametrize("word", named(Kind.VERB, Standing.RENAMED), ids=lambda word: word.name)
def test_a_verb_that_moved_works_hidden_with_a_notice(word: Word, capsys: pytest.CaptureFixture[str]) -> None:
    context, command = command_of(word.name)
    _, modern = command_of(word.modern)
    assert command.hidden and not modern.hidden
    assert word.name not in bacalhau.list_commands(context.find_root())
    assert [param.name for param in command.params] == [param.name for param in modern.params]
    callback = modern.callback
    called: list[object] = []
    try:
        modern.callback = lambda **values: called.append(values)
        again = command_of(word.name)[1]
        assert again.callback is not None
        again.callback(job_id="j")
    finally:
        modern.callback = callback
    assert called == [{"job_id": "j"}]
    assert capsys.readouterr().err == f"Note: {word.name} is {word.modern} today\n"


@pytest.mark.parametrize("word", named(Kind.VERB, Standing.REPLACED), ids=lambda word: word.name)
def test_a_verb_that_is_gone_says_why(word: Word) -> None:
    _, command = command_of(word.name)
    with pytest.raises(BadRequest, match=re.escape(word.sentence)):
        command.main(["anything", "--flag"], standalone_mode=False)


# ---- flags


def leaves(command: click.Command, path: str = "") -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from leaves(below, f"{path} {name}".strip())
    else:
        yield path


@pytest.mark.parametrize(
    "word", [word for word in named(Kind.FLAG) if "*" in word.where], ids=lambda word: word.name
)
def test_a_flag_of_every_verb_is_taken_by_every_verb(word: Word) -> None:
    for path in [*leaves(bacalhau), "serve", "get", "list", "logs"]:
        context, command = command_of(path)
        names = {name for param in command.get_params(context) for name in param.opts}
        assert word.name in names, path


@pytest.mark.parametrize(
    ("verb", "word"),
    [
        pytest.param(verb, word, id=f"{verb} {word.name}")
        for word in named(Kind.FLAG, Standing.WORKS)
        for verb in word.where
        if verb != "*"
    ],
)
def test_a_flag_that_works_is_parsed(verb: str, word: Word) -> None:
    sample = {"--timeout": "90", "--template-vars": "a=b"}.get(word.name, "x")
    if verb in ("get", "create"):
        NEEDED.setdefault(verb, ["j"])
    context = parsed(verb, word.name, *([] if word.is_switch else [sample]))
    (param,) = [param for param in context.command.params if word.name in param.opts]
    assert context.params[param.name or ""] not in (None, (), "", False)
    assert not getattr(param, "hidden", False)


@pytest.mark.parametrize(
    ("verb", "word"),
    [
        pytest.param("serve" if verb == "*" else verb, word, id=f"{verb} {word.name}")
        for word in named(Kind.FLAG, Standing.RENAMED)
        if word.values
        for verb in word.where
    ],
)
def test_an_old_flag_sets_its_keys_and_is_told(
    verb: str, word: Word, capsys: pytest.CaptureFixture[str]
) -> None:
    if verb == "get":
        NEEDED.setdefault(verb, ["j"])
    context = parsed(verb, f"{word.name}={sample_of(word)}")
    expected = settings_of(word)
    config = Config.from_sources(environ={}, overrides=overrides(context))
    assert shown(config, expected) == expected
    assert capsys.readouterr().err == f"Note: {word.notice}\n"
    assert word in flags_of(verb)


@pytest.mark.parametrize(
    "word", [word for word in named(Kind.FLAG, Standing.RENAMED) if word.values and word.is_switch]
)
def test_an_old_switch_needs_no_value(word: Word) -> None:
    config = Config.from_sources(environ={}, overrides=overrides(parsed("serve", word.name, "--compute")))
    assert word.values is not None
    assert shown(config, word.values("true")) == {
        key: text == "true" for key, text in word.values("true").items()
    }


@pytest.mark.parametrize(
    "word",
    [word for word in named(Kind.FLAG, Standing.RENAMED) if not word.values],
    ids=lambda word: word.name,
)
def test_an_alias_is_the_flag_of_today(word: Word, capsys: pytest.CaptureFixture[str]) -> None:
    sample = {"--count": "3", "--limit": "3", "--order-by": "id"}.get(word.modern, "zone=eu")
    values = [] if word.is_switch else [sample]
    for verb in word.where:
        old, new = (parsed(verb, name, *values).params for name in (word.name, word.modern))
        assert old == new
    assert capsys.readouterr().err == f"Note: {word.notice}\n"


def test_a_notice_has_the_word_that_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed("docker run", "-s", "zone=eu").params["constraints"] == "zone=eu"
    assert parsed("list", "-n", "7").params["limit"] == 7
    parsed("docker run", "--selector=zone=eu")
    assert capsys.readouterr().err == (
        "Note: -s is --constraints today\nNote: -n is --limit today\nNote: --selector is --constraints today\n"
    )


def test_the_old_flag_for_the_data_directory_stands_before_any_verb(
    capsys: pytest.CaptureFixture[str],
) -> None:
    context = bacalhau.make_context("bacalhau", ["--repo", "/data/repo", "list"])
    assert overrides(context) == ("DataDir=/data/repo",)
    assert "--repo is --data-dir today" in capsys.readouterr().err


@pytest.mark.parametrize("word", named(Kind.FLAG, Standing.REPLACED), ids=lambda word: word.name)
def test_a_flag_that_is_gone_is_taken_and_told(word: Word, capsys: pytest.CaptureFixture[str]) -> None:
    NEEDED.setdefault("describe", ["j"])
    context = parsed(word.where[0], word.name, *([] if word.is_switch else ["none"]))
    assert overrides(context) == ()
    assert capsys.readouterr().err == f"Note: {word.name}: {word.sentence}\n"


def test_an_old_flag_that_is_given_twice_adds_to_its_list_or_else_counts_the_last_time() -> None:
    words = ("--labels", "a=1", "--labels=b=2,c=3", "--limit-total-cpu=1", "--limit-total-cpu=2")
    config = Config.from_sources(environ={}, overrides=overrides(parsed("serve", *words)))
    assert config["Labels"] == {"a": "1", "b": "2", "c": "3"}
    assert config["Compute.AllocatedCapacity.CPU"] == "2"


# ---- keys and variables


@pytest.mark.parametrize("word", named(Kind.KEY, Standing.RENAMED), ids=lambda word: word.name)
def test_an_old_key_works_on_the_command_line_and_in_a_file(
    word: Word, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = settings_of(word)
    config = Config.from_sources(environ={}, overrides=(f"{word.name.upper()}={sample_of(word)}",))
    assert shown(config, expected) == expected
    assert word.notice in capsys.readouterr().err
    file = tmp_path / "config.yaml"
    indent = 0
    lines = []
    for section in word.name.split("."):
        lines.append(f"{' ' * indent}{section}:")
        indent += 2
    file.write_text("\n".join(lines) + f" '{sample_of(word)}'\n")
    assert {name: read_file(file)[name] for name in expected} == expected
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize("word", named(Kind.KEY, Standing.REPLACED), ids=lambda word: word.name)
def test_an_old_key_that_is_gone_stops_nobody_and_is_told(
    word: Word, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config.from_sources(environ={}, overrides=(f"{word.name}=1234",))
    # Only made absolute.
    assert [key.name for key in config.changed()] == ["DataDir"]
    assert f"{word.name}: {word.sentence}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Node: {IPFS: {Connect: {a: b}}}", "Node.IPFS.Connect must be one value"),
        ("Node: {IPFS: 5}", "Node.IPFS is a section: it holds keys"),
        (
            "Node: {Compute: {JobTimeouts: {MaxJobExecutionTimeout: soon}}}",
            "JobAdmissionControl.MaxTimeout must be",
        ),
        (
            "Node: {Compute: {JobSelection: {AcceptNetworkedJobs: maybe}}}",
            "RejectNetworkedJobs must be true or",
        ),
        ("Node: {ComputeStoragePath: {a: b}}", ""),
        ("Node: {IPFS: {Connect: }}", ""),
        ("Node: {IPFS: , Compute: }", ""),
    ],
)
def test_a_wrong_value_of_an_old_key_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    if not sentence:
        assert read_file(file) == {}
        return
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        read_file(file)


def test_an_old_key_needs_a_value_on_the_command_line_unless_it_is_a_switch() -> None:
    with pytest.raises(ConfigurationError, match=r"-c Node\.IPFS\.Connect needs a value"):
        Config.from_sources(environ={}, overrides=("Node.IPFS.Connect",))
    switched = Config.from_sources(environ={}, overrides=("Node.Compute.JobSelection.RejectStatelessJobs",))
    assert switched["JobAdmissionControl.RejectStatelessJobs"] is True


def test_a_key_of_today_wins_over_an_old_one_wherever_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    for text in (
        "API: {Port: 5}\nNode: {ServerAPI: {Port: 6}}",
        "Node: {ServerAPI: {Port: 6}}\nAPI: {Port: 5}",
    ):
        file.write_text(text)
        assert read_file(file) == {"API.Port": 5}
    old = {"BACALHAU_NODE_SERVERAPI_PORT": "6", "BACALHAU_API_PORT": "7"}
    assert Config.from_sources(environ=old)["API.Port"] == 7


def test_the_public_networks_of_older_versions_are_told_to_have_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Config.from_sources(environ={"BACALHAU_ENVIRONMENT": "local"})
    assert capsys.readouterr().err == ""
    for _ in range(2):
        Config.from_sources(environ={"BACALHAU_ENVIRONMENT": "production"})
    assert capsys.readouterr().err.count("the public networks have ended") == 1


@pytest.mark.parametrize(
    "word", [word for word in named(Kind.VARIABLE) if word.values], ids=lambda word: word.name
)
def test_an_old_variable_sets_its_keys_and_is_told(word: Word, capsys: pytest.CaptureFixture[str]) -> None:
    expected = settings_of(word)
    config = Config.from_sources(environ={word.name: sample_of(word)})
    assert shown(config, expected) == expected
    assert {config.source(name) for name in expected} == {word.name}
    assert word.notice in capsys.readouterr().err
