"""A real node whose requests a policy judges: logins, tokens, callers, and what must not get through."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from bacalhau_jupyter.auth.guesses import GUESSES
from bacalhau_jupyter.auth.policies.tokens import TokenKey, holder_of
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.text import is_readable
from bacalhau_jupyter.node.node import Node
from tests.auth.policies import keys
from tests.services.fixtures import service_or_skip
from tests.services.node import running_node
from tests.services.policies import official_policies

pytestmark = pytest.mark.timeout(700)

JOBS = "/api/v1/orchestrator/jobs"
MakeConfig = Callable[..., Config]

ACCESS = """package bacalhau.authz
import rego.v1

default allow := false
default token_valid := false

claims := payload if {
	value := trim_prefix(input.http.headers.Authorization[0], "Bearer ")
	[valid, _, payload] := io.jwt.decode_verify(value, input.constraints)
	valid
}
token_valid if claims
allow if input.http.path[2] == "auth"
allow if input.http.path == ["api", "v1", "agent", "alive"]
allow if {
	input.http.method == "GET"
	claims
}
allow if bits.and(claims.ns["*"], 2) != 0
allow if {
	input.http.method in {"PUT", "POST"}
	body := json.unmarshal(input.http.body)
	claims.ns[body.Job.Namespace] == 15
}
allow if input.http.path[3] == "events"
"""
PASSWORDS = """package bacalhau.authn
import rego.v1

schema := {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
rights := {"reader": 5, "writer": 15, "own": 0}
token := io.jwt.encode_sign({"typ": "JWT", "alg": "RS256"}, {
	"iss": input.nodeId, "aud": [input.nodeId], "sub": input.ask.name,
	"iat": time.now_ns() / 1000, "exp": (time.now_ns() / 1000) + 1000000000000,
	"ns": {"*": rights[input.ask.name], input.ask.name: 15},
}, input.signingKey)
"""


@dataclass
class Caller:
    """Sends requests to a node."""

    session: aiohttp.ClientSession
    node: Node

    async def ask(
        self, method: str, path: str, token: str | None = None, **options: Any
    ) -> tuple[int, dict[str, Any]]:
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = token if " " in token else f"Bearer {token}"
        async with self.session.request(method, path, headers=headers, **options) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith("{") else {"text": text}

    async def log_in(self, method: str, answers: object) -> tuple[int, dict[str, Any]]:
        data = answers if isinstance(answers, bytes) else json.dumps(answers).encode()
        body = {"Name": "whatever", "MethodData": base64.b64encode(data).decode()}
        return await self.ask("POST", f"/api/v1/auth/{method}", json=body)

    async def token(self, method: str, answers: object) -> str:
        status, answer = await self.log_in(method, answers)
        assert status == 200, answer
        return str(answer["Authentication"]["token"])

    def key(self) -> TokenKey:
        return TokenKey.load(self.node.repo.path / "user_id.pem", self.node.node_id)


@asynccontextmanager
async def policed(
    make: MakeConfig, tmp_path: Path, access: str = ACCESS, methods: Any = None, **values: Any
) -> AsyncIterator[Caller]:
    (tmp_path / "access.rego").write_text(access)
    (tmp_path / "ask.rego").write_text(PASSWORDS)
    config = make(
        **{
            "API.Auth.AccessPolicyPath": str(tmp_path / "access.rego"),
            "API.Auth.Methods": methods
            or {
                "By Name": {"Type": "ask", "PolicyPath": str(tmp_path / "ask.rego")},
                "ClientKey": {"type": "challenge"},
            },
            "API.Auth.PolicyEngine": "built-in",
            "API.TrustLocalUser": False,
            **values,
        }
    )
    async with running_node(config) as node, aiohttp.ClientSession(node.url) as session:
        yield Caller(session, node)


def job(namespace: str = "default") -> dict[str, Any]:
    task = {"Name": "main", "Engine": {"Type": "noop", "Params": {}}}
    return {"Job": {"Name": "a", "Namespace": namespace, "Type": "batch", "Count": 1, "Tasks": [task]}}


async def test_tokens_of_a_login_decide_what_each_request_may_do(
    node_config: MakeConfig, tmp_path: Path
) -> None:
    async with policed(node_config, tmp_path) as it:
        assert (await it.ask("GET", JOBS))[0] == 401
        assert (await it.ask("GET", "/api/v1/agent/alive"))[0] == 200
        # As officially, the policy is asked about open routes, too.
        assert (await it.ask("GET", "/api/v1/agent/version"))[0] == 401
        assert list((await it.ask("GET", "/api/v1/auth"))[1]["Methods"]) == ["by name", "clientkey"]
        reader, writer = [await it.token("by%20name", {"name": name}) for name in ("reader", "writer")]
        assert (await it.ask("GET", JOBS, reader))[0] == 200
        status, answer = await it.ask("PUT", JOBS, reader, json=job())
        assert (status, answer["Code"], answer["Component"]) == (403, "Forbidden", "Authorizer")
        assert (await it.ask("PUT", JOBS, reader, json=job("reader")))[0] == 200
        assert (await it.ask("PUT", JOBS, writer, json=job()))[0] == 200
        audited = (it.node.repo.path / "audit" / "audit.jsonl").read_text()
        assert '"token:writer"' in audited
        assert writer not in audited

        async def chunks() -> AsyncIterator[bytes]:
            whole = json.dumps(job("reader") | {"Force": True}).encode()
            yield whole[:9]
            yield whole[9:]

        chunked = {"Content-Type": "application/json"}
        assert (await it.ask("PUT", JOBS, reader, data=chunks(), headers=chunked))[0] == 200
        assert (await it.ask("GET", JOBS, it.node.key))[0] == 200
        assert (await it.ask("GET", JOBS, "Basic cmVhZGVyOng="))[0] == 401
        # The route is ours, so the policy's author can't have meant it.
        assert (await it.ask("GET", "/api/v1/orchestrator/events"))[0] == 401
        assert (await it.ask("GET", "/api/v1/orchestrator/events", reader))[0] == 400


async def test_no_header_hides_a_body_from_the_policy(node_config: MakeConfig, tmp_path: Path) -> None:
    """A policy that forbids something in a body approves an empty one; the handler must not read another."""
    access = """package bacalhau.authz
import rego.v1
token_valid := true
allow if not contains(input.http.body, "secret")
"""
    async with policed(node_config, tmp_path, access) as it:
        assert (await it.ask("PUT", JOBS, json=job("open")))[0] == 200
        for headers in ({}, {"Upgrade": "foo"}, {"Connection": "Upgrade", "Upgrade": "websocket"}):
            status, answer = await it.ask("PUT", JOBS, json=job("secret"), headers=headers)
            assert (status, answer["Code"]) == (403, "Forbidden"), headers


async def test_no_spelling_of_a_name_makes_the_policy_read_another_value(
    node_config: MakeConfig, tmp_path: Path
) -> None:
    access = """package bacalhau.authz
import rego.v1
token_valid := true
allow if {
	input.http.method == "GET"
	not input.http.query.namespace[0] == "secret"
}
allow if {
	input.http.method == "PUT"
	json.unmarshal(input.http.body).Job.Namespace == "open"
}
"""
    image = {"Image": "good", "image": "bad"}
    open_job = job("open")["Job"]
    docker = {"Name": "main", "Engine": {"Type": "docker", "Params": image}}
    async with policed(node_config, tmp_path, access) as it:
        assert (await it.ask("PUT", JOBS, json=job("open")))[0] == 200
        for body in (
            {"Job": open_job | {"namespace": "secret"}},
            {"Job": open_job, "job": job("secret")["Job"]},
            {"Job": open_job | {"Tasks": [docker]}},
        ):
            for path in (JOBS, f"{JOBS}/diff"):
                status, answer = await it.ask("PUT", path, json=body)
                assert (status, "may read otherwise" in answer["Message"]) == (400, True), body
        assert (await it.ask("GET", f"{JOBS}?namespace=secret"))[0] == 403
        assert (await it.ask("GET", f"{JOBS}?namespace=open&limit=5"))[0] == 200
        for query in ("Namespace=secret", "namespace=&namespace=secret"):
            assert (await it.ask("GET", f"{JOBS}?{query}"))[0] == 400, query
        # The owner is not judged, so names count in any case, as on every node.
        assert (await it.ask("PUT", JOBS, it.node.key, json={"job": job("b")["Job"]}))[0] == 200


async def test_forged_tokens_are_worth_nothing(node_config: MakeConfig, tmp_path: Path) -> None:
    async with policed(node_config, tmp_path) as it:
        good = keys.claims(iss=it.node.node_id, aud=[it.node.node_id])
        ours = it.key()
        assert (await it.ask("GET", JOBS, ours.sign(good)))[0] == 200
        head, body, signature = ours.sign(good).split(".")
        forged = {
            "other key": keys.key("other").sign(good),
            "no signature": f"{head}.{body}.",
            "alg none": keys.unsigned(**good),
            "the public key as secret": keys.signed_with_the_public_key(ours, **good),
            "changed": f"{head}.{ours.sign({**good, 'sub': 'eve'}).split('.')[1]}.{signature}",
            "expired": ours.sign({**good, "exp": 5.5}),
            "for another node": ours.sign({**good, "aud": ["n-other"]}),
            "no token": "junk",
            "dots": "..",
        }
        for name, token in forged.items():
            status, answer = await it.ask("GET", JOBS, token)
            assert (status, answer.get("Code")) == (401, "Unauthorized"), name


async def test_too_many_wrong_tokens_are_not_looked_at_any_more(
    node_config: MakeConfig, tmp_path: Path
) -> None:
    async with policed(node_config, tmp_path) as it:
        good = await it.token("by%20name", {"name": "reader"})
        statuses = [(await it.ask("GET", JOBS, f"junk{number}"))[0] for number in range(GUESSES + 1)]
        assert statuses == [401] * GUESSES + [429]
        assert (await it.ask("GET", JOBS, good))[0] == 429


async def test_guesses_that_come_at_once_are_no_more_than_those_that_come_one_by_one(
    node_config: MakeConfig, tmp_path: Path
) -> None:
    slow = PASSWORDS.replace(
        "token := ", 'token := t if {\n\tscrypt(input.ask.name, "c2FsdA==") == "x"\n\tt := '
    )
    (tmp_path / "slow.rego").write_text(slow + "}\n")
    methods = {"slow": {"Type": "ask", "PolicyPath": str(tmp_path / "slow.rego")}}
    async with policed(node_config, tmp_path, methods=methods) as it:
        names = [{"name": f"nobody{number}"} for number in range(2 * GUESSES)]
        answers = await asyncio.gather(*(it.log_in("slow", name) for name in names))
        assert sorted(status for status, _ in answers) == [401] * GUESSES + [429] * GUESSES


async def test_a_policy_decides_on_a_trusted_socket_for_valid_tokens_only(
    node_config: MakeConfig, tmp_path: Path
) -> None:
    trusting: dict[str, Any] = {"API.TrustLocalUser": True}
    async with policed(node_config, tmp_path, **trusting) as it:
        reader = await it.token("by%20name", {"name": "reader"})
        assert (await it.ask("PUT", JOBS, json=job("one")))[0] == 200
        assert (await it.ask("PUT", JOBS, "stale", json=job("two")))[0] == 200
        assert (await it.ask("PUT", JOBS, reader, json=job()))[0] == 403
        page = {"Origin": "http://evil.example"}
        assert (await it.ask("GET", JOBS, headers=page))[0] == 401
        assert (await it.ask("GET", "/api/v1/agent/alive", headers=page))[0] == 401
        assert (await it.ask("GET", JOBS, reader, headers=page))[0] == 200


@pytest.mark.parametrize(
    ("answers", "status", "text"),
    [
        ({"name": "nobody"}, 401, "credentials rejected"),
        ({}, 401, "credentials rejected"),
        (b"null", 401, "credentials rejected"),
        ({"name": 5}, 400, "invalid authentication data: every answer must be a text, and 'name' is not one"),
        ([], 400, "invalid authentication data: it is not a JSON object"),
        (b"hello", 400, "invalid authentication data: it is not JSON"),
        (b"", 400, "invalid authentication data: it is not JSON"),
        (b"[" * 20_000, 400, "invalid authentication data: it is not JSON"),
        ({"name": "x" * 5000}, 400, "has more than 4096 characters"),
    ],
)
async def test_wrong_answers_to_a_form_are_refused_and_never_a_fault_of_the_node(
    answers: object, status: int, text: str, node_config: MakeConfig, tmp_path: Path
) -> None:
    async with policed(node_config, tmp_path) as it:
        answered, answer = await it.log_in("by%20name", answers)
        assert answered == status
        assert text in (answer.get("Message") or answer["Authentication"]["reason"])


async def test_a_key_gets_the_official_default_token_or_what_a_list_of_clients_says(
    node_config: MakeConfig, tmp_path: Path
) -> None:
    allowed = service_or_skip(official_policies)["challenge_ns_no_anon.rego"].read_text()
    with_me = allowed.replace("# Insert client IDs here", f'"{keys.CLIENT_ID}",')
    (tmp_path / "nobody.rego").write_text(allowed)
    (tmp_path / "me.rego").write_text(with_me)
    methods = {
        "any": {"Type": "challenge"},
        "nobody": {"Type": "challenge", "PolicyPath": str(tmp_path / "nobody.rego")},
        "me": {"Type": "challenge", "PolicyPath": str(tmp_path / "me.rego")},
    }
    async with policed(node_config, tmp_path, methods=methods) as it:
        signed = keys.proof(it.node.node_id.encode())
        for method in ("any", "me"):
            claims = it.key().claims(await it.token(method, signed))
            assert claims is not None
            assert claims["sub"] == keys.CLIENT_ID
            assert claims["ns"] == {"*": 5, keys.CLIENT_ID: 15}
            assert 27 * 86400e6 < claims["exp"] - claims["iat"] < 32 * 86400e6
        status, answer = await it.log_in("nobody", signed)
        reason = "signature verified but user credentials rejected"
        assert (status, answer["Authentication"]) == (401, {"success": False, "reason": reason})
        status, answer = await it.log_in("any", keys.proof(b"another phrase"))
        assert (status, answer["Authentication"]["reason"]) == (401, "crypto/rsa: verification error")
        for broken in ({}, {"PublicKey": "AAAA"}, {**signed, "PhraseSignature": "?"}):
            status, answer = await it.log_in("any", broken)
            assert (status, answer["Authentication"]["success"]) == (401, False)
        assert (await it.log_in("any", b"x"))[0] == 400
        assert (await it.log_in("nope", signed))[0] == 404


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"API.Auth.AccessPolicyPath": "/tmp/nope.rego"},
            "1 error occurred during loading: stat tmp/nope.rego: no such file or directory",
        ),
        (
            {"API.Auth.Methods": {"pw": {"Type": "ask", "PolicyPath": "/tmp/nope.rego"}}},
            "1 error occurred during loading: stat tmp/nope.rego: no such file or directory",
        ),
        ({"API.Auth.Methods": {"x": {"Type": "oidc"}}}, 'unknown authentication type: "oidc"'),
        (
            {"API.Auth.Methods": {"pw": {"Type": "ask"}}},
            "1 error occurred during loading: stat : invalid argument",
        ),
        ({"API.Auth.AccessPolicyPath": "/tmp/p", "API.Auth.PolicyEngine": "/no/opa"}, "no program /no/opa"),
        ({"API.Auth.Methods": {"a/b": {"Type": "challenge"}}}, "can't be the name of a method"),
    ],
)
async def test_a_node_with_a_wrong_policy_does_not_start(
    values: dict[str, Any], sentence: str, node_config: MakeConfig, tmp_path: Path
) -> None:
    if values.get("API.Auth.AccessPolicyPath") == "/tmp/p":
        (tmp_path / "p.rego").write_text(ACCESS)
        values = {**values, "API.Auth.AccessPolicyPath": str(tmp_path / "p.rego")}
    with pytest.raises(ConfigurationError) as caught:
        async with running_node(node_config(**values)):
            pass
    assert sentence in caught.value.message
    assert caught.value.hint


async def test_methods_without_a_policy_for_requests_open_nothing(
    node_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ask.rego").write_text(PASSWORDS)
    methods = {"pw": {"Type": "ask", "PolicyPath": str(tmp_path / "ask.rego")}}
    config = node_config(
        **{"API.Auth.Methods": methods, "API.TrustLocalUser": False, "API.Auth.PolicyEngine": "built-in"}
    )
    async with running_node(config) as node, aiohttp.ClientSession(node.url) as session:
        it = Caller(session, node)
        token = await it.token("pw", {"name": "writer"})
        assert (await it.ask("GET", JOBS, token))[0] == 401
    assert "tokens of these methods open nothing" in caplog.text


async def test_the_official_example_that_lets_nobody_in_does_so_with_a_hint_in_the_log(
    node_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shipped = service_or_skip(official_policies)["ask_ns_password.rego"]
    methods = {"pw": {"Type": "ask", "PolicyPath": str(shipped)}}
    async with policed(node_config, tmp_path, methods=methods) as it:
        status, answer = await it.log_in("pw", {"username": "ada", "password": "x"})
        assert (status, answer["Authentication"]["reason"]) == (401, "credentials rejected")
    assert "looks among the values of that object" in caplog.text


async def test_no_spelling_of_a_path_makes_the_policy_see_another_route_than_the_node_serves(
    node_config: MakeConfig, tmp_path: Path
) -> None:
    async with policed(node_config, tmp_path) as it:
        for path in (
            "/api/v1/auth/../orchestrator/jobs",
            "/api/v1/auth/..%2forchestrator%2fjobs",
            "/api/v1/%61uth/../orchestrator/jobs",
            "//api/v1/orchestrator/jobs",
            "/api//v1/auth/orchestrator/jobs",
            "/api/v1/orchestrator/jobs;/auth",
            "/api/v1/orchestrator%2fjobs",
            "/api/v1/orchestrator/jobs/",
            "/API/V1/orchestrator/jobs",
            "/api/v1/auth%2f..%2forchestrator/jobs",
        ):
            status, answer = await it.ask("GET", URL(it.node.url + path, encoded=True))  # type: ignore[arg-type]
            assert status in (400, 401, 404), path
            assert "Items" not in answer, path


def test_a_name_that_would_begin_a_line_of_its_own_is_not_shown() -> None:
    assert holder_of({"sub": "ada"}).called == "ada"
    names = {holder_of({"sub": f"a{mark}Job completed"}).name for mark in ("\n", "\r", "\u202e", "\ud800")}
    assert len(names) == 4
    assert all(is_readable(name) for name in names)
