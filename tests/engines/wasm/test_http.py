"""The HTTP functions of modules: real servers, each kind of network, and everything that a module may say wrongly."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.network.rules import REJECT_NETWORK_KEY
from bacalhau_jupyter.engines.wasm.engine import WasmEngine
from bacalhau_jupyter.engines.wasm.guest import http_requests
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType
from bacalhau_jupyter.plugins.logfile import read_frames
from tests.engines.network.web import looking_up, web_server
from tests.engines.running import Result
from tests.engines.wasm.bench import NONE, PLAIN, Bench, wasi
from tests.engines.wasm.files import text
from tests.services.waiting import until

HOST = NetworkConfig(type=NetworkType.HOST)
DEFAULT = NetworkConfig()
CODES = {
    name: getattr(http_requests, name)
    for name in ("OK", "BAD_URL", "NO_NETWORK", "NOT_ALLOWED", "BAD_INPUT", "NO_MEMORY")
}
PRINTED = 64


def asking(
    url: str,
    *,
    method: int = 0,
    headers: str = "",
    body: bytes = b"",
    room: int = 3000,
    headers_at: int = 16384,
    url_size: int | None = None,
    times: int = 1,
) -> bytes:
    """Return a program that asks: it prints status, headers and body, and ends with the function's result.

    The URL lies at 1024, headers at 3072, the body at 4096, the answer's headers at 16384 and its body at 32768.
    """
    size = len(url.encode()) if url_size is None else url_size
    return wasi(
        f"""(data (i32.const 1024) "{text(url.encode())}") (data (i32.const 3072) "{text(headers.encode())}")
        (data (i32.const 4096) "{text(body)}")
        (func $print (param i32 i32)
          (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 24))))
        (func (export "_start") (local $code i32) (local $left i32) (local.set $left (i32.const {times}))
          (loop $again
            (i32.store (i32.const 100) (i32.const 4000)) (i32.store (i32.const 104) (i32.const {room}))
            (local.set $code (call $http (i32.const {method}) (i32.const 1024) (i32.const {size})
              (i32.const 3072) (i32.const {len(headers.encode())}) (i32.const 4096) (i32.const {len(body)})
              (i32.const {headers_at}) (i32.const 100) (i32.const 32768) (i32.const 104) (i32.const 108)))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
          (if (local.get $code) (then (call $exit (local.get $code))))
          (i32.store8 (i32.const 112) (i32.add (i32.const 48) (i32.div_u (i32.load (i32.const 108)) (i32.const 100))))
          (call $print (i32.const 112) (i32.const 1))
          (call $print (i32.const 16384) (i32.load (i32.const 100)))
          (call $print (i32.const 32768) (i32.load (i32.const 104)))
          (call $exit (i32.const {PRINTED})))""",
        '(import "wasi:http/requests" "http_request" (func $http '
        "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))",
    )


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        words = f"{self.command} {self.path} {self.headers.get('X-Own', '')} {body.decode()}".encode()
        if self.path == "/big":
            words = b"x" * 1_000_000
        self.send_response(200 if self.path != "/missing" else 404)
        self.send_header("X-Answer", "yes")
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    """A server of this machine that tells what it was asked; its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as it:
        thread = threading.Thread(target=it.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{it.server_port}"
        it.shutdown()
        thread.join()


def answer(result: Result) -> str:
    assert (result.error, result.outcome.exit_code) == ("", PRINTED)
    return result.stdout


@pytest.mark.parametrize("network", [HOST, DEFAULT])
async def test_a_module_asks_a_server_by_this_host_s_network(
    bench: Bench, server: str, network: NetworkConfig
) -> None:
    printed = answer(await bench.run(asking(f"{server}/a?b=c", headers="X-Own: mine\n"), network=network))
    assert printed.startswith("2") and "X-Answer: yes\n" in printed
    assert printed.endswith("GET /a?b=c mine ")


@pytest.mark.parametrize(
    ("method", "word"), [(1, "POST"), (2, "PUT"), (3, "DELETE"), (6, "PATCH"), (99, "GET")]
)
async def test_methods_and_bodies_arrive(bench: Bench, server: str, method: int, word: str) -> None:
    module = asking(f"{server}/", method=method, body=b"a body")
    assert answer(await bench.run(module, network=HOST)).endswith(f"{word} /  a body")


async def test_an_error_of_the_server_is_an_answer(bench: Bench, server: str) -> None:
    assert answer(await bench.run(asking(f"{server}/missing"), network=HOST)).startswith("4")


async def test_a_redirect_is_followed(bench: Bench, server: str) -> None:
    assert answer(await bench.run(asking(f"{server}/to//there"), network=HOST)).endswith("GET /there  ")


async def test_an_answer_is_cut_to_the_room_that_there_is(bench: Bench, server: str) -> None:
    printed = answer(await bench.run(asking(f"{server}/big", room=20), network=HOST))
    assert printed.endswith("x" * 20)
    assert printed.count("x" * 21) == 0


async def test_names_are_looked_up(bench: Bench, server: str) -> None:
    url = server.replace("127.0.0.1", "localhost")
    assert answer(await bench.run(asking(url), network=HOST)).endswith("GET /  ")


@pytest.mark.parametrize(
    ("url", "options", "code"),
    [
        ("ftp://example.com/", {}, "BAD_URL"),
        ("nonsense", {}, "BAD_URL"),
        ("http://", {}, "BAD_URL"),
        ("http://a b/", {}, "BAD_URL"),
        ("http://a:b@127.0.0.1/", {}, "BAD_URL"),
        ("http://127.0.0.1/\r\nX: y", {}, "BAD_URL"),
        ("http://127.0.0.1/", {"url_size": 1_000_000_000}, "BAD_URL"),
        ("http://127.0.0.1/", {"headers_at": 0}, "BAD_INPUT"),
        ("http://127.0.0.1:9/", {}, "NO_NETWORK"),
        ("http://does-not-exist.invalid/", {}, "NO_NETWORK"),
        ("http://127.0.0.1:99999/", {}, "BAD_URL"),
    ],
)
async def test_what_can_not_be_asked_has_the_official_code(
    bench: Bench, url: str, options: dict[str, Any], code: str
) -> None:
    result = await bench.run(asking(url, **options), network=HOST)
    assert (result.error, result.outcome.exit_code) == ("", CODES[code])


async def test_an_answer_without_room_in_memory_is_told(bench: Bench, server: str) -> None:
    result = await bench.run(asking(server, headers_at=70_000), network=HOST)
    assert result.outcome.exit_code == CODES["NO_MEMORY"]


async def test_a_header_can_not_smuggle_another_request(bench: Bench, server: str) -> None:
    result = await bench.run(asking(server, headers="X-Own: a\rX-Evil: b\n"), network=HOST)
    assert result.outcome.exit_code == CODES["NO_NETWORK"]


async def test_without_a_network_there_are_no_functions(bench: Bench) -> None:
    with pytest.raises(EngineError, match="unknown module 'wasi:http/requests'") as error:
        await bench.engine.start(bench.request(asking("http://127.0.0.1/"), network=NONE))
    assert error.value.hint == "the job has no network (Network.Type)"


async def test_a_node_without_networked_jobs_gives_no_functions_to_jobs_that_leave_it_open(
    tmp_path: Path,
) -> None:
    pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
    bench = Bench(tmp_path)
    bench.engine = WasmEngine(replace(bench.options, settings={REJECT_NETWORK_KEY: True}.get))
    assert not await bench.open()
    with pytest.raises(EngineError, match="unknown module 'wasi:http/requests'"):
        await bench.engine.start(bench.request(asking("http://127.0.0.1/"), network=DEFAULT))
    await bench.close()


# --- the network of type HTTP ---------------------------------------------------------------------------------------


@pytest.fixture
def web() -> Iterator[int]:
    """A server on every address of this machine, which stands for one of the internet; its port."""
    with web_server(
        lambda request: f"{request.headers['Host']} {request.headers.get('X-Bacalhau-Job-ID')}"
    ) as port:
        yield port


@pytest.fixture(params=["confined", "plain"])
async def outward(tmp_path: Path, web: int, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """An engine for whose jobs example.com is on this machine."""
    pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
    confinement = PLAIN if request.param == "plain" else None
    bench = Bench(tmp_path, confinement, looking_up(web, "good.example.com", "127.0.0.1"))
    if problem := await bench.open():
        pytest.skip(problem)
    yield bench
    await bench.close()


DOMAINS = NetworkConfig(type=NetworkType.HTTP, domains=["good.example.com"])


def told(result: Result) -> str:
    """Return what people see on stderr."""
    frames = read_frames(result.request.log_path)
    return b"".join(frame.data for frame in frames if frame.shown_in == 2).decode()


async def test_an_allowed_host_answers(outward: Bench) -> None:
    printed = answer(await outward.run(asking("http://good.example.com/"), network=DOMAINS))
    assert printed.endswith("good.example.com j-1")


@pytest.mark.parametrize(
    "url", ["http://bad.example.com/", "https://bad.example.com/", "https://good.example.com:444/"]
)
async def test_another_host_is_not_allowed_and_the_log_says_why(outward: Bench, url: str) -> None:
    result = await outward.run(asking(url), network=DOMAINS)
    assert result.outcome.exit_code == CODES["NOT_ALLOWED"]
    assert told(result).startswith("bacalhau: this job may not reach ")


async def test_no_redirect_leads_to_another_host(outward: Bench, web: int, server: str) -> None:
    network = NetworkConfig(type=NetworkType.HTTP, domains=["127.0.0.1"])
    allowed = await outward.run(asking(f"{server}/to//there"), network=network)
    assert answer(allowed).endswith("GET /there  ")
    result = await outward.run(asking(f"{server}/to/http://bad.example.com/"), network=network)
    assert result.outcome.exit_code == CODES["NOT_ALLOWED"]


async def test_an_allowed_host_that_does_not_answer_is_no_matter_of_rules(outward: Bench) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        network = NetworkConfig(type=NetworkType.HTTP, domains=["127.0.0.1"])
        result = await outward.run(asking(url), network=network)
    assert result.outcome.exit_code == CODES["NO_NETWORK"]


async def test_a_module_reaches_servers_again_after_a_restart_of_its_node(outward: Bench) -> None:
    request = outward.request(
        asking("http://good.example.com/", times=200_000), network=DOMAINS, timeout_s=None
    )
    await outward.engine.start(request)
    door = outward.data / "wasm" / request.execution.id / "door"
    await until(lambda: (door / "way").exists())
    await outward.again()
    assert await outward.engine.attach(request)
    await until(lambda: _answered(outward, request.execution.id))
    await outward.engine.cancel(request.execution.id)
    await outward.finish(request)


def _answered(bench: Bench, execution_id: str) -> bool:
    door = bench.engine._executions._doors._doors.get(execution_id)
    return door is not None and door.ready.is_set()
