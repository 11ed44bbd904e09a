"""The rate that is told beside the bytes."""

from __future__ import annotations

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.rates import with_rate


def notes(*steps: tuple[float, Reading]) -> list[str]:
    readings: list[Reading] = []
    now_s = 0.0
    report = with_rate(readings.append, lambda: int(now_s * SECOND))
    for now_s, reading in steps:  # noqa: B007  (the clock reads it)
        report(reading)
    return [reading.note for reading in readings]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    steady = [(float(second), Reading("copying", 10_000_000 * second)) for second in range(10)]
    assert notes(*steady)[1:] == ["10 MB/s"] * 9
    slower = [(10.0 + second, Reading("copying", 90_000_000 + 1_000_000 * second)) for second in range(20)]
    assert notes(*steady, *slower)[-1] == "1.0 MB/s"


def test_nothing_is_said_of_the_first_moment_nor_of_what_does_not_move() -> None:
    assert notes((0, Reading("copying", 0)), (0.1, Reading("copying", 5_000_000))) == ["", ""]
    assert notes((0, Reading("copying", 0)), (9, Reading("copying", 0))) == ["", ""]


def test_another_phase_and_a_new_beginning_are_measured_by_themselves() -> None:
    steps = [
        (0, Reading("copying image", 0)),
        (1, Reading("copying image", 9_000_000)),
        (2, Reading("copying inputs", 0)),
        (3, Reading("copying inputs", 2_000_000)),
        (4, Reading("copying inputs", 0)),
        (5, Reading("copying inputs", 4_000_000)),
    ]
    assert notes(*steps) == ["", "9.0 MB/s", "", "2.0 MB/s", "", "4.0 MB/s"]


def test_words_of_the_work_itself_stay() -> None:
    assert (
        notes((0, Reading("a", 0)), (5, Reading("a", 10**6, note="from the cache")))[-1] == "from the cache"
    )
