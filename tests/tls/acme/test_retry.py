"""`Retry-After` in all its forms."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.tls.acme.retry import LONGEST_S, SHORTEST_S, retry_after

NOW_NS = 1_700_000_000 * 10**9


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 7.0),
        ("", 7.0),
        ("3", 3.0),
        (" 3 ", 3.0),
        ("0", SHORTEST_S),
        ("9" * 5000, LONGEST_S),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", SHORTEST_S),
        ("Fri, 14 Nov 2053 22:14:20 GMT", LONGEST_S),
        ("-5", 7.0),
        ("soon", 7.0),
        ("1.5", 7.0),
        ("nan", 7.0),
        ("Tue, 99 Nov 2023 22:14:20 GMT", 7.0),
    ],
)
def test_seconds_and_dates_are_read_and_nonsense_is_not(header: str | None, seconds: float) -> None:
    assert retry_after(header, NOW_NS, 7.0) == seconds
