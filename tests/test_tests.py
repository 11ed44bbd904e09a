"""The tests themselves: which of them run, how long a file is, and that none sleeps and hopes."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MOST_LINES = 500
SHORTEST_HANG_S = 5
SHORTEST_WAIT_S = 30
# Where calls that wait have their limit, when it has no name.
POSITIONS = {
    "check_output": 99,
    "communicate": 1,
    "create_connection": 1,
    "end_process": 1,
    "get_server_certificate": 99,
    "join": 0,
    "run": 99,
    "settimeout": 0,
    "timeout": 0,
    "until": 1,
    "urlopen": 2,
    "wait": 0,
    "wait_for": 1,
    "wait_until": 1,
}
WAIT_NAME = re.compile(r"(TIMEOUT|WAIT|PATIENCE|GRACE)_S$")
SPEC_BOUND = re.compile(r"performance\.now\(\)[^\n]*\.toBeLessThan\(([\d_]+)\)")
SHORTEST_SPEC_BOUND_MS = 20_000
MODULES = ("anyio", "asyncio", "time")
ON_PURPOSE = {
    ("survival/world.py", "pause"): "the moment of a kill is meant to be arbitrary",
    ("api/test_serving.py", "trickle"): "a client that is slow on purpose",
    ("node/hosts/hostile.py", "drip"): "an engine that is slow on purpose",
    ("services/waiting.py", "lasts"): "a cut of a certain length",
    ("server/test_activity.py", "stay_open"): "a panel that asks every two seconds, like the real one",
    ("server/test_activity.py", "keep_busy"): "a person that asks while other servers start",
}


def modules() -> list[Path]:
    return sorted(TESTS.rglob("*.py"))


def called(node: ast.AST) -> str:
    """Return the dotted name of what a call calls, such as ``asyncio.sleep``."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def has_limit(scope: ast.AST) -> bool:
    """Whether a function compares with a clock, waits under a time-out, or counts its rounds."""
    names = {called(node) for node in ast.walk(scope)}
    return bool(names & {"asyncio.timeout", "time.monotonic"})


def bare_sleeps(source: str) -> Iterator[tuple[str, int]]:
    """Yield function and line of each sleep that is not a round of a loop with a limit.

    ``sleep(0)`` lets the other tasks take a step, which is the same on a machine of any speed.
    """

    def visit(node: ast.AST, functions: list[ast.AST], loop: ast.AST | None) -> Iterator[tuple[str, int]]:
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
            functions, loop = [*functions, node], None
        elif isinstance(node, ast.While) or (
            isinstance(node, ast.For) and "range(" in ast.unparse(node.iter)
        ):
            loop = node
        if called(node) in sleeps and ast.unparse(node.args[0]) != "0":  # type: ignore[attr-defined]
            counts = isinstance(loop, ast.For) and any(
                isinstance(part, ast.Break | ast.Return) for part in ast.walk(loop)
            )
            waits = isinstance(loop, ast.While) and bool(functions) and has_limit(functions[-1])
            if not counts and not waits:
                yield getattr(functions[-1], "name", "") if functions else "", getattr(node, "lineno", 0)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, functions, loop)

    if "sleep" not in source:
        return
    tree = ast.parse(source)
    sleeps = {f"{module}.sleep" for module in MODULES}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            sleeps |= {name.asname or name.name for name in node.names if name.name == "sleep"}
    yield from visit(tree, [], None)


def test_no_test_sleeps_and_hopes() -> None:
    faults = [
        f"tests/{name}:{line}: wait for the event, or ask again under a time limit (tests/services/waiting.py)"
        for path in modules()
        for function, line in bare_sleeps(path.read_text(encoding="utf-8"))
        if ((name := path.relative_to(TESTS).as_posix()), function) not in ON_PURPOSE
    ]
    assert faults == []


def test_every_sleep_on_purpose_is_still_there() -> None:
    there = {
        (path.relative_to(TESTS).as_posix(), function)
        for path in modules()
        for function, _ in bare_sleeps(path.read_text(encoding="utf-8"))
    }
    assert there >= set(ON_PURPOSE)


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(0.1)",
        "await asyncio.sleep(0.1)",
        "from asyncio import sleep\n    await sleep(0.1)",
        "while not ready(): await asyncio.sleep(0.1)",
        "for _ in range(3): time.sleep(0.1)",
    ],
)
def test_a_sleep_that_hopes_is_found(body: str) -> None:
    assert list(bare_sleeps(f"async def test_it():\n    {body}"))


@pytest.mark.parametrize(
    "body",
    [
        "await asyncio.sleep(0)",
        "async with asyncio.timeout(5):\n        while not ready(): await asyncio.sleep(0.1)",
        "while time.monotonic() < deadline: time.sleep(0.1)",
        "for _ in range(3):\n        if ready(): break\n        time.sleep(0.1)",
    ],
)
def test_polling_under_a_limit_is_not_a_bare_sleep(body: str) -> None:
    assert not list(bare_sleeps(f"async def test_it():\n    {body}"))


def tight_bounds(source: str) -> Iterator[int]:
    """Yield the line of each comparison of passed time with less than catches a hang.

    A machine that does other things fails such a test, and says nothing about the code. The times
    are in ``benchmarks/``. CPU time (``time.process_time``) may be bounded.
    """
    if "time.monotonic" not in source and "perf_counter" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assert):
            continue
        for test in ast.walk(node.test):
            if not isinstance(test, ast.Compare):
                continue
            clocks = {called(part).rpartition(".")[2] for part in ast.walk(test)}
            limit = test.comparators[-1].value if isinstance(test.comparators[-1], ast.Constant) else None
            if (
                clocks & {"monotonic", "perf_counter"}
                and isinstance(test.ops[-1], ast.Lt | ast.LtE)
                and isinstance(limit, int | float)
                and limit < SHORTEST_HANG_S
            ):
                yield node.lineno


def test_no_test_measures_how_fast_something_is() -> None:
    faults = [
        f"tests/{path.relative_to(TESTS).as_posix()}:{line}: move the time to benchmarks/, or bound it by "
        f"{SHORTEST_HANG_S} s at least"
        for path in modules()
        for line in tight_bounds(path.read_text(encoding="utf-8"))
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("test", "is_tight"),
    [
        ("time.monotonic() - begun < 0.5", True),
        ("1 < perf_counter() - begun <= 3", True),
        ("time.monotonic() - begun < 20", False),
        ("time.process_time() - begun < 1", False),
        ("time.monotonic() - begun >= 1", False),
    ],
)
def test_a_bound_on_time_that_a_busy_machine_misses_is_found(test: str, *, is_tight: bool) -> None:
    assert bool(list(tight_bounds(f"def test_it():\n    assert {test}"))) == is_tight


def short_waits(source: str) -> Iterator[int]:
    """Yield the line of each limit of a wait that a machine under load may reach before what is waited for.

    Limits of less than five seconds are meant to be reached: they show that something does not happen.
    """
    for node in ast.walk(ast.parse(source)):
        limit: ast.expr | None = None
        if isinstance(node, ast.Call):
            name = called(node).rpartition(".")[2]
            place = POSITIONS.get(name)
            if place is not None:
                named = [word.value for word in node.keywords if word.arg in ("timeout", "timeout_s")]
                limit = named[0] if named else node.args[place] if len(node.args) > place else None
        elif isinstance(node, ast.BinOp) and called(node.left) == "time.monotonic":
            limit = node.right
        elif (
            isinstance(node, ast.Assign)
            and not node.col_offset
            and WAIT_NAME.search(ast.unparse(node.targets[0]))
        ):
            limit = node.value
        value = limit.value if isinstance(limit, ast.Constant) else None
        if isinstance(value, int | float) and SHORTEST_HANG_S <= value < SHORTEST_WAIT_S:
            yield limit.lineno if limit is not None else 0


def test_no_wait_is_so_short_that_a_busy_machine_fails_it() -> None:
    faults = [
        f"tests/{path.relative_to(TESTS).as_posix()}:{line}: wait for {SHORTEST_WAIT_S} s at least"
        for path in modules()
        for line in short_waits(path.read_text(encoding="utf-8"))
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("code", "is_short"),
    [
        ("async with asyncio.timeout(20): pass", True),
        ("await asyncio.wait_for(reader, 10)", True),
        ("assert wait_until(ready, timeout_s=20)", True),
        ("await until(ready, 29.5)", True),
        ("urlopen(request, timeout=10)", True),
        ("process.wait(5)", True),
        ("deadline = time.monotonic() + 15", True),
        ("pass\nSTART_TIMEOUT_S = 20.0", True),
        ("await asyncio.wait_for(reader, 30)", False),
        ("assert not wait_until(ready, timeout_s=2)", False),
        ("job = process('true', timeout=10)", False),
        ("pass\nHEARTBEAT_S = 5", False),
    ],
)
def test_a_wait_that_is_too_short_is_found(code: str, *, is_short: bool) -> None:
    assert bool(list(short_waits(f"async def test_it():\n    {code}"))) == is_short


def test_ports_are_chosen_in_one_place() -> None:
    """One that is let go again may be anybody's before the server that was meant listens there."""
    choice = re.compile(r"^ *def _?(free|unused)_ports?\(", re.MULTILINE)
    places = [path for path in modules() if choice.search(path.read_text(encoding="utf-8"))]
    assert places == [TESTS / "services" / "ports.py"]


def test_no_file_of_tests_is_longer_than_500_lines() -> None:
    lengths = {path: len(path.read_bytes().splitlines()) for path in modules()}
    assert {
        str(path.relative_to(TESTS)): lines for path, lines in lengths.items() if lines > MOST_LINES
    } == {}


SAMPLE = """
import pytest

def test_pure(): pass
def test_image(busybox_image): pass
def test_bucket(s3_credentials): pass
def test_ipfs(own_kubo): pass
def test_page(browser): pass
def test_shell(served): pass
@pytest.mark.slow
def test_slow(): pass
@pytest.mark.long
def test_long(): pass
"""
DEFAULT = {"pure", "image", "bucket", "ipfs", "page", "shell", "slow"}


@pytest.mark.process
@pytest.mark.timeout(320)
@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        ([], DEFAULT),
        (["--fast"], {"pure"}),
        (["--long"], DEFAULT | {"long"}),
        (["-m", "docker or s3"], {"image", "bucket"}),
    ],
    ids=["default", "fast", "long", "marks"],
)
def test_which_tests_run_is_decided_by_what_they_ask_for(
    tmp_path: Path, arguments: list[str], chosen: set[str]
) -> None:
    (tmp_path / "test_sample.py").write_text(SAMPLE, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--co", "-q"]
    done = subprocess.run(
        [*command, "-c", "pyproject.toml", *arguments, tmp_path],
        cwd=TESTS.parent,
        # What a person adds for this run changes what the listing looks like.
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert set(re.findall(r"::test_(\w+)", done.stdout)) == chosen, done.stdout + done.stderr


def test_no_specification_of_the_extension_measures_time() -> None:
    sources = sorted((TESTS.parent / "labextension" / "src").rglob("*.spec.ts*"))
    bounds = [
        (path.name, int(match[1].replace("_", "")))
        for path in sources
        for match in SPEC_BOUND.finditer(path.read_text(encoding="utf-8"))
    ]
    assert bounds
    # What grows with the square of its input takes minutes; a busy machine takes seconds.
    assert [bound for bound in bounds if bound[1] < SHORTEST_SPEC_BOUND_MS] == []
