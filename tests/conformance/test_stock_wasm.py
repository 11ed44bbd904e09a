"""WebAssembly jobs of ours and the official ones: the same spec, and official nodes run what our clients send.

``BACALHAU_STOCK_BINARY`` names the official program; its own sample modules are tried where its source lies beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bacalhau_jupyter import Client
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.records.outcome import exit_code_of
from tests.client.wasm.samples import HELLO, LIBRARY, USER, module, padded
from tests.notebook.conftest import Kernel
from tests.services.node import ServedNode
from tests.services.node_fixtures import factory
from tests.services.official import BINARY, NO_BINARY, official_cluster, quiet_environment

pytestmark = [pytest.mark.skipif(not BINARY, reason=NO_BINARY), pytest.mark.timeout(300)]

SAMPLES = next(Path(BINARY).parent.glob("*/testdata/wasm"), None) if BINARY else None
needs_samples = pytest.mark.skipif(SAMPLES is None, reason="no source of the official program lies beside it")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    files = {"main.wasm": module(), "lib.wasm": module(exports=[("answer", 0)])}
    files |= {
        "large.wasm": padded(module(), 40_000),
        "user.wasm": module(imports=[("/app/lib.wasm", "answer")]),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def spec_of(command: list[str], words: tuple[str, ...], here: Path, *exact: str) -> dict[str, Any]:
    """Return the task that a dry run prints."""
    done = subprocess.run(
        [*command, "wasm", "run", "--dry-run", *exact, *words],
        capture_output=True,
        text=True,
        cwd=here,
        env=quiet_environment(here / "home") | {"BACALHAU_DIR": str(here / "repo")},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The official program may first say that it wrote its configuration.
    text = done.stdout[min(at for at in map(done.stdout.find, ("Constraints:", "Type:")) if at >= 0) :]
    task: dict[str, Any] = yaml.safe_load(text)["Tasks"][0]
    return task


@pytest.mark.parametrize(
    "words",
    [
        ("main.wasm",),
        ("main.wasm:/app/custom.wasm", "a", "b"),
        ("main.wasm", "-e", "A=1", "--entry-point", "_start", "--", "-x"),
        ("user.wasm", "-I", "lib.wasm:/app/lib.wasm"),
        ("https://example.com/main.wasm:/app/main.wasm", "-I", "https://example.com/lib.wasm:/app/lib.wasm"),
        ("-i", "s3://bucket/dir:/app", "-I", "/app/lib.wasm", "/app/main.wasm"),
        ("s3://bucket/main.wasm", "--memory", "1gb", "--network", "http", "--domain", "example.com"),
    ],
)
def test_wasm_run_describes_the_job_as_the_official_client_does(here: Path, words: tuple[str, ...]) -> None:
    ours = spec_of([sys.executable, "-m", "bacalhau_jupyter"], words, here, "--exact")
    official = spec_of([BINARY], words, here)
    for name in ("EntryModule", "Entrypoint"):
        assert ours["Engine"]["Params"][name] == official["Engine"]["Params"][name]
    for name in ("Parameters", "ImportModules"):
        assert (ours["Engine"]["Params"].get(name) or []) == (official["Engine"]["Params"][name] or [])
    assert _inputs(ours) == _inputs(official)
    for name in ("Env", "Resources"):
        assert (ours.get(name) or {}) == (official.get(name) or {})
    assert ours["Network"]["Type"] == (official.get("Network") or {"Type": "Default"})["Type"]


def _inputs(task: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return target, type and, of what lies elsewhere, the place of each input."""
    listed = []
    for item in task["InputSources"]:
        params = item["Source"]["Params"]
        place = "" if item["Source"]["Type"] == "inline" else str(params.get("URL") or params.get("Key"))
        listed.append((item["Target"], item["Source"]["Type"], place))
    return sorted(listed)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with official_cluster(tmp_path_factory.mktemp("official")) as url:
        yield url


@pytest.fixture
def ours(cluster: str, here: Path) -> Run:
    """Run a command line of ours that talks to the official cluster."""
    host, _, port = cluster.removeprefix("http://").partition(":")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-m", "bacalhau_jupyter", "--data-dir", str(here / "repo")),
                *("--api-host", host, "--api-port", port, *words),
            ],
            capture_output=True,
            text=True,
            cwd=here,
            env={name: value for name, value in os.environ.items() if not name.startswith("BACALHAU_")},
            timeout=200,
            check=False,
        )

    return run


def test_an_official_node_runs_small_and_large_modules_and_their_imports(ours: Run) -> None:
    for words in (("main.wasm",), ("large.wasm",), ("user.wasm", "-I", "lib.wasm:/app/lib.wasm")):
        done = ours("wasm", "run", *words)
        # An official node writes the exit code -1 for a module that just returns.
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Completed, exit code 0" in done.stdout, words


@needs_samples
@pytest.mark.parametrize(
    ("words", "printed", "exit_code"),
    [
        (("env", "-e", "TEST=yes", "-e", "AWESOME=definitely"), "AWESOME=definitely", 0),
        (("exit_code", "-e", "EXIT_CODE=5"), "Exiting with 5", 5),
        (("dynamic", "-I", "{easter}:input.wasm"), "17\n", 0),
        (("logtest", "-i", "{logtest}", "--", "inputs/cosmic_computer.txt", "--fast"), "\x1b[32m", 0),
        (("noop",), "", 0),
    ],
)
def test_official_samples_end_as_officially(
    ours: Run, cluster: str, words: tuple[str, ...], printed: str, exit_code: int
) -> None:
    assert SAMPLES is not None
    places = {"easter": SAMPLES / "easter" / "main.wasm", "logtest": SAMPLES / "logtest" / "inputs"}
    flags = [word.format(**places) for word in words[1:]]
    done = ours("wasm", "run", "--id-only", str(SAMPLES / words[0] / "main.wasm"), *flags)
    assert done.returncode == 0, done.stderr
    with Client(cluster) as client:
        (execution,) = client.job(done.stdout.split()[0]).executions()
        assert exit_code_of([execution]) == exit_code
        assert execution.run_output is not None
        assert printed in execution.run_output.stdout


@needs_samples
def test_what_a_sample_writes_comes_back(ours: Run, cluster: str) -> None:
    assert SAMPLES is not None
    program, data = SAMPLES / "csv" / "main.wasm", SAMPLES / "csv" / "inputs"
    words = ("inputs/horses.csv", "outputs/parents-children.csv")
    done = ours("wasm", "run", "--id-only", str(program), "-i", str(data), "--", *words)
    assert done.returncode == 0, done.stderr
    with Client(cluster) as client:
        result = client.job(done.stdout.split()[0]).result()
        assert list(result.df("outputs/parents-children.csv").columns) == [
            "parent",
            "parentLabel",
            "child",
            "childLabel",
        ]


def test_cells_run_text_and_modules_there(cluster: str, tmp_path: Path) -> None:
    pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
    kernel = Kernel(Repo.open(tmp_path / "repo"), tmp_path)
    try:
        assert kernel.run("%load_ext bacalhau_jupyter").status == "ok"
        assert kernel.run(f"%bacalhau connect {cluster}").status == "ok"
        ran = kernel.run(f"%%bacalhau wasm\n{HELLO}", timeout_s=200)
        assert ran.status == "ok", ran.traceback
        last = "from bacalhau_jupyter import Client; print(Client().job(_.job.id).result().stdout)"
        assert "hello" in kernel.run(last).stdout
        # A module that another one imports, from a file; the exit code is what that one gives.
        code = (
            f"import wasmtime, pathlib; pathlib.Path('math.wasm').write_bytes(wasmtime.wat2wasm({LIBRARY!r}))"
        )
        kernel.run(f"from bacalhau_jupyter.client.wasm.text import compiled\n{code}")
        kernel.run(f"pathlib.Path('math.wasm').write_bytes(compiled({LIBRARY!r}))")
        failed = kernel.run(f"%%bacalhau wasm -I math.wasm:math\n{USER}", timeout_s=200)
        assert "exit code 7" in failed.traceback
    finally:
        kernel.close()


def test_a_job_of_ours_says_so_in_its_record(ours: Run) -> None:
    done = ours("wasm", "run", "main.wasm", "--name", "described")
    assert done.returncode == 0, done.stderr
    record = json.loads(ours("job", "describe", "described", "--output", "json").stdout)
    assert record["Job"]["Tasks"][0]["Engine"]["Params"]["EntryModule"] == "main.wasm"


@pytest.fixture(scope="module")
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    """A node of ours that runs modules."""
    pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
    with factory(tmp_path_factory.mktemp("own")) as start:
        yield start()


@pytest.fixture
def official(own_node: ServedNode, here: Path) -> Run:
    """Run a command line of the official program that talks to a node of ours."""
    host, port = "127.0.0.1", str(own_node.port)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BINARY, "--api-host", host, "--api-port", port, *words],
            capture_output=True,
            text=True,
            cwd=here,
            env=quiet_environment(here / "home") | {"BACALHAU_DIR": str(here / "official")},
            timeout=200,
            check=False,
        )

    return run


@needs_samples
@pytest.mark.parametrize(
    ("words", "printed", "exit_code"),
    [
        (("env", "-e", "TEST=yes", "-e", "AWESOME=definitely"), "AWESOME=definitely", 0),
        (("exit_code", "-e", "EXIT_CODE=5"), "Exiting with 5", 5),
        (("noop",), "", 0),
        (("easter", "--entry-point", "easter2022"), "", 0),
    ],
)
def test_the_official_client_runs_its_samples_on_a_node_of_ours(
    official: Run, own_node: ServedNode, words: tuple[str, ...], printed: str, exit_code: int
) -> None:
    assert SAMPLES is not None
    done = official("wasm", "run", "--id-only", str(SAMPLES / words[0] / "main.wasm"), *words[1:])
    assert done.returncode == 0, done.stderr + done.stdout
    job = done.stdout.split()[-1]
    with Client(own_node.url) as client:
        result = client.job(job).result(check=False)
        assert result.exit_code == exit_code
        assert printed in result.stdout
    # Officially the logs of modules never come.
    logs = official("job", "logs", job)
    assert logs.returncode == 0, logs.stderr
    assert printed in logs.stdout


@needs_samples
def test_libraries_and_files_of_official_jobs_reach_a_module_on_a_node_of_ours(
    official: Run, own_node: ServedNode
) -> None:
    assert SAMPLES is not None
    library = f"{SAMPLES / 'easter' / 'main.wasm'}:input.wasm"
    done = official("wasm", "run", "--id-only", "-I", library, str(SAMPLES / "dynamic" / "main.wasm"))
    assert done.returncode == 0, done.stderr + done.stdout
    with Client(own_node.url) as client:
        assert client.job(done.stdout.split()[-1]).result().stdout == "17\n"
    shell = [sys.executable, "-m", "bacalhau_jupyter", "--data-dir", str(own_node.repo.path)]
    words = ["-i", str(SAMPLES / "csv" / "inputs"), "--", "inputs/horses.csv", "outputs/x.csv"]
    ours = subprocess.run(
        [*shell, "wasm", "run", "--id-only", str(SAMPLES / "csv" / "main.wasm"), *words],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ours.returncode == 0, ours.stderr
    with Client(own_node.url) as client:
        assert "Tugela" in client.job(ours.stdout.split()[0]).result().text("outputs/x.csv")
