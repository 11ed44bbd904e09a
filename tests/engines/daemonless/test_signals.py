"""What images may name as the signal for their end."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.engines.daemonless.signals import number_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15),
        ("TERM", 15),
        ("sigquit", 3),
        (" 9 ", 9),
        ("64", 64),
        ("SIGRTMIN+3", 37),
        ("RTMIN", 34),
        ("RTMAX-14", 50),
        ("RTMAX", 64),
        *[
            (text, 0)
            for text in ("", "0", "-1", "65", "9" * 5000, "²", "SIG", "nonsense", "SIG_DFL", "15\n1")
        ],
        *[(text, 0) for text in ("RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMIN+99", "RTMIN+", "rtmin+٣")],
    ],
)
def test_a_signal_is_read_by_name_or_number(text: str, number: int) -> None:
    assert number_of(text) == number
