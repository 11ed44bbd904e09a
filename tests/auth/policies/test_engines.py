"""What a policy may do to the node: nothing, whichever engine evaluates it."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bacalhau_jupyter.auth.policies.engine import PolicyFailed
from bacalhau_jupyter.auth.policies.files import read_policy
from bacalhau_jupyter.auth.policies.hosting import DECISION, SCHEMA, TOKEN
from bacalhau_jupyter.auth.policies.verdicts import AccessPolicy, Complaints, Verdict
from bacalhau_jupyter.models.errors import ConfigurationError
from tests.auth.policies.conftest import ENGINES, StartEngine
from tests.auth.policies.keys import key, request
from tests.clock import ManualClock
from tests.services.common import wait_until
from tests.services.fixtures import service_or_skip
from tests.services.leaks import command_line
from tests.services.policies import opa_program

pytestmark = pytest.mark.timeout(1300)
both = pytest.mark.parametrize("kind", ENGINES)

HEAD = "package bacalhau.authz\nimport rego.v1\n"
OPEN = HEAD + "allow := true\ntoken_valid := true\n"
NOBODY = Verdict(approved=False, token_valid=False)


async def judged(start: StartEngine, text: str, kind: str, **options: float) -> Verdict:
    engine = await start(text, kind, **options)
    return await AccessPolicy(engine, key(), Complaints("p", ManualClock())).verdict(request())


@both
async def test_the_simplest_policy_lets_everybody_in(kind: str, start_engine: StartEngine) -> None:
    assert await judged(start_engine, OPEN, kind) == Verdict(approved=True, token_valid=True)


@both
@pytest.mark.parametrize(
    "value",
    ['"true"', "1", "null", "{}", "[true]", "input.http.method", '{"allow": true}'],
)
async def test_anything_but_true_denies_and_the_log_says_so(
    value: str, kind: str, start_engine: StartEngine, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"{HEAD}allow := {value}\ntoken_valid := true\n"
    if kind == "exact" and "input" not in value:
        with pytest.raises(ConfigurationError, match="rego_type_error"):
            await judged(start_engine, text, kind)
        return
    assert await judged(start_engine, text, kind) == NOBODY
    assert "bacalhau.authz.allow is of type" in caplog.text


@both
@pytest.mark.parametrize(
    "rule",
    [
        pytest.param("allow if 1 / input.constraints.zero == 1", id="undefined"),
        pytest.param("allow if to_number(input.http.method) == 1", id="an error in a function"),
        pytest.param(
            'allow := true if input.http.method == "GET"\nallow := false if input.http.body == ""',
            id="two values",
        ),
        pytest.param("denied := true", id="no rule"),
    ],
)
async def test_a_policy_without_an_answer_denies(rule: str, kind: str, start_engine: StartEngine) -> None:
    verdict = await judged(start_engine, f"{HEAD}{rule}\ntoken_valid := true\n", kind)
    assert verdict == Verdict(approved=False, token_valid=True)


@both
@pytest.mark.parametrize(
    "rule",
    [
        pytest.param("allow if count([1 | some a in big; some b in big; a + b == -1]) == 0", id="loops"),
        pytest.param("allow if count(numbers.range(1, 3000000000)) > 0", id="grows"),
    ],
)
async def test_a_policy_that_never_ends_is_ended_denies_and_the_next_question_is_answered(
    rule: str,
    kind: str,
    start_engine: StartEngine,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (
        f"{HEAD}{rule.replace('allow if', 'allow if input.http.query.long; allow if')}\n"
        "allow if not input.http.query.long\ntoken_valid if not input.http.query.long\n"
        "token_valid if { input.http.query.long; allow }\nbig := numbers.range(1, 60000)\n"
    ).replace("allow if input.http.query.long; allow if", "allow if input.http.query.long\nallow_long if")
    text = text.replace(
        "allow if input.http.query.long\n", "allow if { input.http.query.long; allow_long }\n"
    )
    # Seconds of processor time, but those of the clock for the exact engine: its good answers may take longer.
    engine = await start_engine(text, kind, limit_s=1.0 if kind == "built-in" else 60.0)
    policy = AccessPolicy(engine, key(), Complaints("p", ManualClock()))
    good = Verdict(approved=True, token_valid=True)
    assert await policy.verdict(request()) == good
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_limit_s", 1.0)
        assert await policy.verdict(request(query="long=1")) == NOBODY
    assert "longer than 1 s" in caplog.text
    assert await policy.verdict(request()) == good


@both
async def test_a_policy_learns_nothing_of_the_nodes_environment(
    kind: str, start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACALHAU_SECRET_OF_TEST", "s3cret")
    text = (
        HEAD + "allow if opa.runtime().env.BACALHAU_SECRET_OF_TEST\ntoken_valid if opa.runtime().env.PATH\n"
    )
    assert await judged(start_engine, text, kind) == Verdict(approved=False, token_valid=True)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ('http.send({"method": "GET", "url": "http://127.0.0.1:1"}).status_code == 200', "http.send"),
        ('net.cidr_contains("127.0.0.0/8", "127.0.0.1")', "net.cidr_contains"),
        ("json.match_schema({}, {})[0]", "json.match_schema"),
        ('time.format(1) == "x"', "time.format"),
        ('rego.parse_module("a", "b")', "rego.parse_module"),
        ('read_file("/etc/passwd")', "read_file"),
    ],
)
async def test_the_built_in_engine_refuses_functions_that_it_lacks_or_has_otherwise(
    call: str, name: str, start_engine: StartEngine
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(name)) as caught:
        await start_engine(f"{HEAD}allow if {call}\ntoken_valid := true\n")
    assert "opa" in caught.value.hint


@both
@pytest.mark.parametrize(
    "text",
    [
        "package bacalhau.authz\nallow if {",
        "allow := true\n",
        "\0\1\2",
        HEAD + "allow if { input.x == y }\n" * 0 + "}",
    ],
)
async def test_a_policy_that_does_not_compile_ends_the_start_with_a_sentence(
    text: str, kind: str, start_engine: StartEngine
) -> None:
    with pytest.raises(ConfigurationError, match=r"policy .*\.rego"):
        await start_engine(text, kind)


def test_a_huge_policy_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "huge.rego"
    with path.open("wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(ConfigurationError, match="too large"):
        read_policy(str(path))


@both
async def test_hostile_texts_change_no_verdict_and_break_no_engine(
    kind: str, start_engine: StartEngine
) -> None:
    text = HEAD + 'allow if input.http.query.name[0] == "right"\ntoken_valid := true\n'
    policy = AccessPolicy(await start_engine(text, kind), key(), Complaints("p", ManualClock()))
    for hostile in (
        "right%00",
        "%22%7D%2C%22allow%22%3Atrue",
        "%5C%22",
        "%FF%FE",
        "right%0A",
        "a" * 100_000,
        "%E2%80%A8",
    ):
        verdict = await policy.verdict(request(query=f"name={hostile}"))
        assert verdict == Verdict(approved=False, token_valid=True), hostile[:20]
    assert (await policy.verdict(request(query="name=right"))).approved


@both
async def test_a_body_of_ten_megabytes_is_judged(kind: str, start_engine: StartEngine) -> None:
    text = (
        HEAD
        + 'allow if startswith(input.http.body, "{\\"a")\ntoken_valid if endswith(input.http.body, "z")\n'
    )
    engine = await start_engine(text, kind, limit_s=60.0)
    body = b'{"a' + b"x" * (10 << 20)
    verdict = await AccessPolicy(engine, key(), Complaints("p", ManualClock())).verdict(request(body=body))
    assert verdict == Verdict(approved=True, token_valid=False)


@both
async def test_many_questions_at_once_are_answered_each_by_its_own_answer(
    kind: str, start_engine: StartEngine
) -> None:
    engine = await start_engine(
        "package bacalhau.authn\nimport rego.v1\ntoken := input.ask.name\n", kind, (TOKEN,)
    )
    names = [f"name{number}" for number in range(40)]
    answers = await asyncio.gather(*(engine.ask(TOKEN, {"ask": {"name": name}}) for name in names))
    decoded = [__import__("base64").b64decode(answer["base64"]).decode() for answer in answers]  # type: ignore[index]
    assert decoded == names


@both
async def test_an_engine_that_gets_no_processor_for_a_while_denies_nobody(
    kind: str, start_engine: StartEngine
) -> None:
    engine = await start_engine(OPEN, kind, limit_s=1.0)
    program = "auth.policies.worker" if kind == "built-in" else "opa.sock"
    (worker,) = [it for it in psutil.Process().children() if program in " ".join(command_line(it))]
    worker.suspend()
    try:
        asking = asyncio.create_task(engine.ask(DECISION, {}))
        assert await asyncio.wait({asking}, timeout=2.5) == (set(), {asking})
    finally:
        worker.resume()
    assert await asking != {}


async def test_an_engine_that_was_killed_is_started_again(start_engine: StartEngine) -> None:
    engine = await start_engine(OPEN)
    (worker,) = [
        it for it in psutil.Process().children() if "auth.policies.worker" in " ".join(command_line(it))
    ]
    worker.kill()
    worker.wait(60)
    with pytest.raises(PolicyFailed):
        await engine.ask(DECISION, {})
    assert await engine.ask(DECISION, {}) != {}


@both
async def test_a_schema_and_a_token_of_the_wrong_type_let_nobody_in(
    kind: str, start_engine: StartEngine
) -> None:
    text = "package bacalhau.authn\nimport rego.v1\nschema := [1]\ntoken := input.ask.x\n"
    engine = await start_engine(text, kind, (TOKEN, SCHEMA))
    assert await engine.ask(SCHEMA, None) == [1]
    with pytest.raises(PolicyFailed):
        await engine.ask(TOKEN, {"ask": {"x": {"a": 1}}})


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from bacalhau_jupyter.auth.policies.exact import OpaEngine
from bacalhau_jupyter.auth.policies.files import read_policy

async def main():
    engine = OpaEngine(sys.argv[1], read_policy(Path(sys.argv[2])))
    await engine.start()
    print(engine._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux ends the children of a process that is killed"
)
def test_the_program_ends_with_a_node_that_is_killed(tmp_path: Path) -> None:
    program = service_or_skip(opa_program)
    (tmp_path / "open.rego").write_text(OPEN)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, program, tmp_path / "open.rego"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert wait_until(lambda: has_ended(int(done.stdout)), timeout_s=60)


def has_ended(pid: int) -> bool:
    try:
        # Where nobody collects orphans, a zombie stays.
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
