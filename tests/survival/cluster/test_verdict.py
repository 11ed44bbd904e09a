"""The judge of the chaos runs sees each thing that must not happen: records of a run, with one thing wrong in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.survival.cluster.verdict import COMPLETED, judge
from tests.survival.world import Mark

LINES = 3
TEXT = "".join(f"line {number}\n" for number in range(LINES))
FAILED = 10


@dataclass
class Records:
    """A job that was lost with its first node and completed on the second."""

    states: dict[str, str] = field(default_factory=lambda: {"j-1": "Completed"})
    counter: list[Mark] = field(
        default_factory=lambda: [
            Mark("START", "j-1", "e-1", "0"),
            Mark("START", "j-1", "e-2", "0"),
            Mark("END", "j-1", "e-2", "0"),
        ]
    )
    known: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"ID": "e-1", "ComputeState": {"StateType": FAILED}, "RunOutput": None},
            {"ID": "e-2", "ComputeState": {"StateType": COMPLETED}, "RunOutput": {"Stdout": TEXT}},
        ]
    )
    events: list[tuple[str, str]] = field(
        default_factory=lambda: [
            ("e-1", "Requested execution on n-1"),
            ("e-1", "Running"),
            ("e-1", "the node has disappeared"),
            ("e-2", "Requested execution on n-2"),
            ("e-2", "Completed successfully"),
        ]
    )
    stored: str = TEXT
    passed: str = TEXT

    def marks(self) -> Sequence[Mark]:
        return self.counter

    def executions(self, job_id: str) -> Sequence[dict[str, Any]]:
        return self.known if job_id == "j-1" else []

    def get(self, path: str) -> Any:
        return {
            "Items": [
                {"ExecutionID": execution, "Event": {"Message": text}} for execution, text in self.events
            ]
        }

    def history(self, job_id: str) -> str:
        return ""

    def published(self, execution_id: str) -> dict[str, bytes]:
        return {"stdout": self.stored.encode()}

    def streamed(self, job_id: str, execution_id: str) -> str:
        return self.passed


def faults(records: Records) -> str:
    return "\n".join(judge(records, records.states, {"j-1": LINES}).faults)


def test_a_run_in_which_all_is_well_has_no_faults_and_its_retries_are_counted() -> None:
    records = Records()
    verdict = judge(records, records.states, {"j-1": LINES})
    assert (verdict.faults, dict(verdict.causes)) == ([], {"the node has disappeared": 1})


def _lose_the_job(records: Records) -> None:
    records.states.clear()
    records.counter.clear()


def _fail_the_job(records: Records) -> None:
    records.states["j-1"] = "Failed"


def _count_twice(records: Records) -> None:
    records.known[0]["ComputeState"]["StateType"] = COMPLETED
    records.counter.append(Mark("END", "j-1", "e-1", "0"))


def _run_twice(records: Records) -> None:
    records.counter.append(Mark("START", "j-1", "e-2", "0"))


def _run_the_given_up_one_twice(records: Records) -> None:
    records.counter.append(Mark("START", "j-1", "e-1", "0"))


def _never_run(records: Records) -> None:
    records.counter[1:] = []


def _never_end(records: Records) -> None:
    records.counter.pop()


def _run_what_nobody_knows(records: Records) -> None:
    records.counter += [Mark("START", "j-1", "e-9", "0"), Mark("END", "j-1", "e-9", "0")]


def _run_a_job_that_nobody_knows(records: Records) -> None:
    records.counter.append(Mark("START", "j-9", "e-9", "0"))


def _explain_nothing(records: Records) -> None:
    del records.events[2]


def _forget_the_history(records: Records) -> None:
    records.events.clear()


def _lose_a_line_of_the_result(records: Records) -> None:
    records.stored = TEXT.replace("line 1\n", "")


def _lose_a_line_of_the_record(records: Records) -> None:
    records.known[1]["RunOutput"] = {"Stdout": TEXT.replace("line 1\n", "")}


def _lose_a_line_on_the_link(records: Records) -> None:
    records.passed = TEXT.replace("line 1\n", "")


def _repeat_a_line_on_the_link(records: Records) -> None:
    records.passed = TEXT + "line 2\n"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_lose_the_job, "j-1 was accepted and is lost"),
        (_fail_the_job, "it ended as Failed"),
        (_count_twice, "2 executions completed"),
        (_run_twice, "e-2 ran 2 times"),
        (_run_the_given_up_one_twice, "e-1 ran 2 times"),
        (_never_run, "e-2 completed with 0 starts, 0 ends"),
        (_never_end, "e-2 completed with 1 starts, 0 ends"),
        (_run_what_nobody_knows, "j-1: nobody knows e-9, which ran"),
        (_run_a_job_that_nobody_knows, "j-9: nobody knows e-9, which ran"),
        (_explain_nothing, "nothing says why e-1"),
        (_forget_the_history, "nothing says why e-1"),
        (_lose_a_line_of_the_result, "its log has 2 lines of 3"),
        (_lose_a_line_of_the_record, "what the orchestrator keeps of its output differs"),
        (_lose_a_line_on_the_link, "2 lines of 3 came over the link"),
        (_repeat_a_line_on_the_link, "4 lines of 3 came over the link"),
    ],
)
def test_one_thing_that_is_wrong_is_told(spoil: Callable[[Records], None], sentence: str) -> None:
    records = Records()
    spoil(records)
    assert sentence in faults(records)
