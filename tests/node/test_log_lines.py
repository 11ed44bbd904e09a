"""What nodes, servers and jobs said stays text in the node's own log."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from bacalhau_jupyter.node.logs import LINE_LIMIT, JsonFormatter, PlainFormatter

FORGED = "no room\n2026-11-30 10:00:00 INFO    node: all is well\x1b]0;owned\x07\x1b[2J\u202e"


def line(text: str) -> logging.LogRecord:
    try:
        raise ValueError(text)
    except ValueError:
        return logging.LogRecord("node", logging.WARNING, "f", 1, "it said: %s", (text,), sys.exc_info())


def test_it_begins_no_line_and_acts_on_no_terminal() -> None:
    text = PlainFormatter("%(levelname)s %(message)s").format(line(FORGED))
    first, *others = text.split("\n")
    assert first == "WARNING it said: no room"
    assert others and all(other.startswith("  ") for other in others)
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("formatter", [PlainFormatter("%(message)s"), JsonFormatter()])
def test_it_fills_no_log(formatter: logging.Formatter) -> None:
    record = logging.LogRecord("node", logging.INFO, "f", 1, "it said: %s", ("x" * 10_000_000,), None)
    text = formatter.format(record)
    assert len(text) < LINE_LIMIT + 500
    if isinstance(formatter, JsonFormatter):
        assert json.loads(text)["message"].startswith("it said: xxx")
