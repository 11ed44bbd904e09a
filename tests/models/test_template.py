"""Placeholders of specs: what the official client makes of the same texts, and a sentence for everything else."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.template import filled_in, template_values

VALUES = {"a": "VALUE", "greet": "hello"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.a}}", "VALUE"),
        ("{{ .a }}", "VALUE"),
        ("x {{- .a -}}  y", "xVALUEy"),
        ("{{/* c */}}z", "z"),
        ("{{- /* c */ -}}z", "z"),
        ("}} a", "}} a"),
        ("{jobID} $a ${a} {.a}", "{jobID} $a ${a} {.a}"),
        ("1\n  {{- .a}}\n{{.greet -}}\n 2", "1VALUE\nhello2"),
        ("", ""),
    ],
)
def test_a_text_becomes_what_the_official_client_makes_of_it(text: str, expected: str) -> None:
    assert filled_in(text, VALUES, "it") == expected


def test_what_a_value_holds_is_not_filled_in_again() -> None:
    assert filled_in("{{.a}} {{.b}}", {"a": "{{.b}}", "b": "  x  "}, "it") == "{{.b}}   x  "


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("one\n{{.b}}", "it at line 2: there is no value for {{.b}}"),
        ("{{.a-b}}", "it at line 1: {{.a-b}} is not supported"),
        ("{{if .a}}x{{end}}", "{{if .a}} is not supported"),
        ("{{range .}}x{{end}}", "{{range .}} is not supported"),
        ('{{printf "%s" .a}}', 'printf "%s" .a}} is not supported'),
        ("{{-.a}}", "is not supported"),
        ("{{.}}", "{{.}} is not supported"),
        ("{{}}", "{{}} is not supported"),
        ("{{.a", "it at line 1: a placeholder begins with {{ and never ends"),
        ("{{.a}} {{", "never ends"),
        ("{{\x1b[31m}}", "is not supported"),
    ],
)
def test_what_cannot_be_filled_in_is_refused_in_a_sentence_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(BadRequest) as caught:
        filled_in(text, VALUES, "it")
    assert sentence in caught.value.message
    assert "\x1b" not in caught.value.message
    assert "--no-template" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{{" * 200_000, "never ends"),
        ("{{.a}}\n" * 100_000 + "{{.b}}", "it at line 100001: there is no value"),
        ("{{.big}}" * 2_000, "filled in, it has more than 10,000,000 characters"),
        ('{{printf "%1000000000d" 1}}', "is not supported"),
        ('{{define "x"}}{{template "x"}}{{end}}{{template "x"}}', "is not supported"),
        ("{{." + "n" * 1_000_000 + "}}", "there is no value for {{." + "n" * 60 + "}}"),
    ],
    ids=["open braces", "many lines", "large value", "wide number", "recursion", "long name"],
)
def test_a_spec_can_not_make_the_client_work_for_long_or_grow(text: str, sentence: str) -> None:
    with pytest.raises(BadRequest) as caught:
        filled_in(text, {**VALUES, "big": "x" * 1_000_000}, "it")
    assert sentence in caught.value.message


def test_a_missing_value_names_the_nearest_one_and_the_ways_to_give_it() -> None:
    with pytest.raises(BadRequest) as caught:
        filled_in("{{.gret}}", VALUES, "it")
    assert "did you mean {{.greet}}?" in caught.value.hint
    assert "-V gret=VALUE" in caught.value.hint


def test_chosen_values_win_over_variables_of_the_environment() -> None:
    environment = {"HOME": "/h", "MY_A": "1", "MY_B": "2"}
    assert template_values({"x": "y"}, "", environment) == {"x": "y"}
    assert template_values({"MY_A": "mine"}, "MY_", environment) == {"MY_A": "mine", "MY_B": "2"}
    assert template_values({}, "^HO", environment) == {"HOME": "/h"}
    assert template_values({}, "*", environment) == environment
    with pytest.raises(BadRequest, match="is not a regular expression"):
        template_values({}, "(", environment)
