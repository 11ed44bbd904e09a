"""Both engines against the engine of official nodes: the shipped policies, with every kind of token and request."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.auth.policies.engine import UNDEFINED, PolicyFailed
from bacalhau_jupyter.auth.policies.hosting import SCHEMA, TOKEN
from bacalhau_jupyter.auth.policies.verdicts import AccessPolicy, Complaints, Verdict
from bacalhau_jupyter.models.errors import ConfigurationError
from tests.auth.policies.conftest import ENGINES, StartEngine
from tests.auth.policies.keys import NODE_ID, key, request, tokens
from tests.clock import ManualClock
from tests.services.fixtures import service_or_skip
from tests.services.policies import Oracle, official_policies

pytestmark = [pytest.mark.timeout(1300), pytest.mark.parametrize("kind", ENGINES)]

JOBS = "/api/v1/orchestrator/jobs"
REQUESTS = (
    request(),
    request(method="PUT", body=b'{"namespace": "ada", "Job": {}}'),
    request(method="PUT", body=b"namespace: other\n"),
    request(method="PUT", body=b""),
    request(method="PUT", body=b"{"),
    request(method="POST", body=b"a: &a [*a]"),
    request(f"{JOBS}/j-1"),
    request(f"{JOBS}/j-1", "DELETE"),
    request("/api/v1/auth/clientkey", "POST"),
    request("/api/v1/requester/submit", "POST"),
    request("/api/v1/hello"),
    request("/"),
)
AUTHORIZATION = (
    "policy_ns_anon.rego",
    "policy_test_allow.rego",
    "policy_test_deny.rego",
    "policy_test_http.rego",
    "authz_policy.rego",
)
ANSWERS: dict[str, list[dict[str, Any]]] = {
    "ask_ns_test_password.rego": [
        {"ask": {"username": "username", "password": "password"}},
        {"ask": {"username": "username", "password": "username"}},
        {"ask": {"username": "robert", "password": "password"}},
        {"ask": {"username": "username"}},
        {"ask": {}},
    ],
    "ask_ns_password.rego": [{"ask": {"username": "username", "password": "password"}}],
    "ask_ns_secret.rego": [
        {"ask": {"token": "insert a secret string here"}},
        {"ask": {"token": 'a "quoted\\" secret\n'}},
        {"ask": {}},
    ],
    "authn_policy.rego": [{"ask": {"token": "${bacalhau_secret_user_access_token}"}}],
    "challenge_ns_anon.rego": [{"clientId": "c" * 64}],
    "challenge_ns_no_anon.rego": [{"clientId": "c" * 64}],
}


def shipped(name: str) -> Path:
    return service_or_skip(official_policies)[name]


@pytest.mark.parametrize("name", AUTHORIZATION)
async def test_each_request_gets_the_official_verdict(
    name: str, kind: str, oracle: Oracle, start_engine: StartEngine
) -> None:
    policy = AccessPolicy(await start_engine(shipped(name), kind), key(), Complaints(name, ManualClock()))
    modules = {name: shipped(name).read_text()}
    differences = []
    # The engine of official nodes is compiled anew for each question, so not every pair is asked.
    pairs = [(REQUESTS[0], token) for token in tokens()] + [
        (one, token)
        for one in REQUESTS[1:]
        for token in ("none", "all rights", "own namespace", "two rights", "reads all", "no JWT")
    ]
    for plain, token in pairs:
        headers = () if tokens()[token] is None else (("authorization", str(tokens()[token])),)
        asked = type(plain)(plain.host, plain.method, plain.path, plain.query, headers, plain.body)
        document = {"http": asked.to_plain(), "constraints": key().constraints()}
        allow, valid = (
            oracle.ask(modules, f"bacalhau.authz.{rule}", document) for rule in ("allow", "token_valid")
        )
        official = Verdict("error" not in valid and allow.get("value") is True, valid.get("value") is True)
        ours = await policy.verdict(asked)
        if ours != official:
            differences.append((asked.method, asked.path, asked.body, token, official, ours))
    assert differences == []


@pytest.mark.parametrize("name", ANSWERS)
async def test_each_login_gets_the_official_token(
    name: str, kind: str, oracle: Oracle, start_engine: StartEngine
) -> None:
    rules = (TOKEN, SCHEMA) if "ask" in ANSWERS[name][0] else (TOKEN,)
    engine = await start_engine(shipped(name), kind, rules)
    modules = {name: shipped(name).read_text()}
    if SCHEMA in rules:
        official_schema = oracle.ask(modules, "bacalhau.authn.schema", None)["value"]
        assert await engine.ask(SCHEMA, None) == official_schema
    for identity in ANSWERS[name]:
        document = {"signingKey": key().private_jwk(), "nodeId": NODE_ID, **identity}
        official = oracle.ask(modules, "bacalhau.authn.token", document)
        try:
            answer = await engine.ask(TOKEN, document)
        except PolicyFailed:
            answer = UNDEFINED
            assert "error" in official, identity
        encoded = answer.get("base64") if isinstance(answer, dict) else None
        assert (encoded is None) == ("value" not in official), identity
        if encoded is not None:
            ours = key().claims(base64.b64decode(encoded).decode())
            theirs = key().claims(official["value"])
            assert ours is not None and theirs is not None
            assert _timeless(ours) == _timeless(theirs)
            # Microseconds, and a month between them.
            assert abs(ours["iat"] - theirs["iat"]) < 60e6
            assert abs((ours["exp"] - ours["iat"]) - (theirs["exp"] - theirs["iat"])) < 1e3


async def test_the_example_that_does_not_compile_is_refused_with_the_names(
    kind: str, start_engine: StartEngine
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"does not compile: .*rego_unsafe_var_error: var now"
    ) as caught:
        await start_engine(shipped("ask_ns_example.rego"), kind, (TOKEN, SCHEMA))
    assert "docs/policies.md" in caught.value.hint


TEXTS: tuple[str, ...] = (
    "",
    "a",
    "a b&c=%/+é😀",
    'a"b\\c\n\td',
    "a: 1",
    '{"a": [1, 2.5, null, true]}',
    "{",
    "- x\n- k: z\n",
)
TEXTS += (
    "yes",
    "0x10",
    "2026-01-02",
    "a: 2026-01-02T03:04:05Z",
    "null",
    "~",
    "a: |\n  b\n",
    "---\n",
    "%",
    "&a [*a]",
)
TEXTS += (
    "a+b%26c",
    "2026-01-02T03:04:05Z",
    "2026-01-02T03:04:05.25+01:00",
    "\ufffd",
    "`${x}`",
    "1_000",
    "010",
)


@pytest.mark.parametrize(
    "call",
    [
        "yaml.unmarshal(input.text)",
        "json.unmarshal(input.text)",
        "urlquery.encode(input.text)",
        "urlquery.decode(input.text)",
        "time.parse_rfc3339_ns(input.text)",
        'scrypt(input.text, "YWJj")',
        "scrypt(input.text, input.text)",
        "base64.decode(input.text)",
        'split(input.text, "/")',
        "lower(input.text)",
        "count(input.text)",
        'sprintf("%s|%v", [input.text, input.text])',
        'trim_prefix(input.text, "a")',
        "[input.text] == [input.text]",
        "io.jwt.decode(input.text)",
        r'input.text == "a\"b\\c\n\td"',
        r'object.get({"a\"b\\c\n\td": 1}, input.text, 0)',
        r'split(input.text, "\n")',
        "regex.match(`\\d\\d`, input.text)",
        r'regex.match("\\d\\d", input.text)',
    ],
)
async def test_functions_have_the_official_values(
    call: str, kind: str, oracle: Oracle, start_engine: StartEngine
) -> None:
    text = (
        "package bacalhau.authn\nimport rego.v1\n"
        f'token := "same" if value == input.expected\nvalue := {call}\n'
    )
    engine = await start_engine(text, kind, (TOKEN,))
    differences = []
    for value in TEXTS[:4] if "scrypt" in call else TEXTS:
        official = oracle.ask({"m": text}, "bacalhau.authn.value", {"text": value})
        if "\ufffd" in str(official.get("value")) and "\ufffd" not in value:
            # Bytes that are no text do not come through the oracle's JSON.
            continue
        try:
            answer = await engine.ask(TOKEN, {"text": value, "expected": official.get("value")})
            same = answer == {"base64": "c2FtZQ=="} and "value" in official
        except PolicyFailed:
            same = "error" in official
        if not same:
            differences.append(f"{value!r}: {json.dumps(official)[:200]}")
    assert "\n".join(differences) == ""


def _timeless(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name not in ("iat", "exp")}
