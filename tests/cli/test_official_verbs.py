"""Every verb of the official client, with its flags, exists here; what does not has a reason."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from bacalhau_jupyter.grammar import bacalhau
from bacalhau_jupyter.grammar.help import OURS, path_of
from bacalhau_jupyter.notebook import magics
from tests.conformance.official_verbs import load

OFFICIAL = load()

NO_VERB = {
    "completion powershell": "click writes no scripts for PowerShell",
}
"""Verbs that are not here, and why."""

NO_FLAG = {
    ("docker run", "-c"): "what follows an image is another program's: `sh -c`; --config is the long form",
    ("wasm run", "-c"): "as with docker run",
    ("help", "-c"): "it shows help only; --config is the long form",
}
"""Flags that are not here, and why."""

NO_GROUP = ("completion",)
"""Groups that are one verb here: ``completion bash`` is the verb with an argument."""


def command_of(words: list[str]) -> tuple[click.Context, click.Command]:
    """Return a verb of ours; KeyError where it is none."""
    command: click.Command = bacalhau
    context = click.Context(command, info_name="bacalhau")
    for word in words:
        if not isinstance(command, click.Group):
            # An argument: `completion bash`.
            break
        below = command.get_command(context, word)
        if below is None:
            raise KeyError(word)
        command, context = below, click.Context(below, info_name=word, parent=context)
    return context, command


def flags_of(verb: str) -> dict[str, bool]:
    """Return the flags of a verb of ours: name → whether it takes a value."""
    context, command = command_of(verb.split())
    flags = {"--help": False, "-h": False}
    for param in command.get_params(context):
        if isinstance(param, click.Option):
            flags.update(dict.fromkeys(param.opts, not param.is_flag))
    return flags


@pytest.mark.parametrize("verb", OFFICIAL)
def test_an_official_verb_exists_with_all_its_flags(verb: str) -> None:
    if verb not in NO_VERB:
        _require(verb)


def _require(verb: str) -> None:
    ours = flags_of(verb)
    wrong = {
        flag: takes_value
        for flag, takes_value in OFFICIAL[verb].items()
        if (verb, flag) not in NO_FLAG and ours.get(flag) != takes_value
    }
    assert not wrong
    if verb.startswith("completion "):
        assert verb.split()[1] in command_of(["completion"])[1].params[0].type.choices  # type: ignore[attr-defined]


def test_no_reason_is_given_for_what_is_here() -> None:
    needless = [(verb, flag) for verb, flag in NO_FLAG if flag in OFFICIAL.get(verb, {})]
    assert [(verb, flag) for verb, flag in needless if flag in flags_of(verb)] == []
    assert set(NO_VERB) <= set(OFFICIAL)


def leaves(context: click.Context) -> Iterator[str]:
    """Return the verbs that the help shows."""
    group = context.command
    if not isinstance(group, click.Group):
        yield path_of(context)
        return
    for name in group.list_commands(context):
        below = group.get_command(context, name)
        if below is not None and not below.hidden:
            yield from leaves(click.Context(below, info_name=name, parent=context))


def test_the_help_marks_just_the_verbs_that_the_official_client_does_not_have() -> None:
    # `completion bash` is a verb there, and one with an argument here.
    assert {verb for verb in leaves(click.Context(bacalhau)) if verb not in OFFICIAL} == OURS


def test_the_magic_has_the_same_verbs() -> None:
    """`%bacalhau` invokes the same tree; only processes of their own are refused."""
    assert vars(magics)["bacalhau"] is bacalhau
    assert set(vars(magics)["_OWN_PROCESS"]) <= set(bacalhau.list_commands(click.Context(bacalhau)))


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--wait=false"], False),
        (["--wait=true"], True),
        (["--wait"], True),
        (["--no-wait"], False),
        ([], True),
    ],
)
def test_a_switch_takes_the_official_form(words: list[str], value: bool) -> None:
    context = command_of(["job", "run"])[1].make_context("run", [*words, "-", "--id-only=0"])
    assert (context.params["wait"], context.params["id_only"]) == (value, False)


def test_words_of_another_program_stay_as_they_are() -> None:
    context = command_of(["docker", "run"])[1].make_context("run", ["img", "--", "x", "--wait=false"])
    assert context.params["command"] == ("x", "--wait=false")
