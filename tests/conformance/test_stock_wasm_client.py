"""The official program's own sample modules, sent by it to a node of ours; ``BACALHAU_STOCK_BINARY`` names it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from bacalhau_jupyter import Client
from tests.conformance.test_stock_wasm import SAMPLES, needs_samples
from tests.services.node import ServedNode, start_node
from tests.services.official import BINARY, NO_BINARY, quiet_environment

pytestmark = [
    pytest.mark.skipif(not BINARY, reason=NO_BINARY),
    pytest.mark.timeout(300),
    pytest.mark.conformance,
]
pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
JOBS = SAMPLES.parents[1] / "testdata" / "jobs" if SAMPLES else Path()

Official = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    allowed = f"Compute.AllowListedLocalPaths={SAMPLES}/**:ro"
    node = start_node(
        tmp_path_factory.mktemp("node") / "repo",
        "-c",
        "Engines.Disabled=docker,process",
        "-c",
        allowed,
        roles=["--orchestrator", "--compute"],
    )
    yield node
    node.stop()


@pytest.fixture
def official(served: ServedNode, tmp_path: Path) -> Official:
    """Run a command of the official program; return exit code, stdout and stderr of the job that it submits."""

    def run(*words: str) -> tuple[int, str, str]:
        address = {"BACALHAU_API_HOST": "127.0.0.1", "BACALHAU_API_PORT": str(served.port)}
        done = subprocess.run(
            [BINARY, *words[:2], "--id-only", "--wait", *words[2:]],
            env=quiet_environment(tmp_path) | address | {"BACALHAU_API_KEY": served.key},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (job_id,) = [line for line in done.stdout.splitlines() if line.startswith("j-")]
        with Client(served.url, api_key=served.key) as client:
            (execution,) = client.job(job_id).executions()
        output = execution.run_output
        assert output is not None, execution.compute_state
        return output.exit_code, output.stdout, output.stderr

    return run


def sample(name: str) -> str:
    assert SAMPLES is not None
    return str(SAMPLES / name / "main.wasm")


@needs_samples
def test_a_module_that_does_nothing_and_one_that_prints_its_environment(official: Official) -> None:
    assert official("wasm", "run", sample("noop")) == (0, "Hello, world!\n", "")
    code, stdout, _ = official("wasm", "run", sample("env"), "-e", "B=2", "-e", "A=1")
    assert (code, stdout.splitlines()[:2]) == (0, ["A=1", "B=2"])


@needs_samples
@pytest.mark.parametrize("code", [0, 5, 255])
def test_an_exit_code(official: Official, code: int) -> None:
    assert official("wasm", "run", sample("exit_code"), "-e", f"EXIT_CODE={code}")[0] == code


@needs_samples
def test_a_program_reads_a_directory_and_writes_its_result(official: Official) -> None:
    inputs = f"file://{SAMPLES}/csv/inputs:/inputs"
    words = ("-i", inputs, "-o", "outputs:/outputs", "-p", "local", sample("csv"))
    done = official("wasm", "run", *words, "/inputs/horses.csv", "/outputs/parents-children.csv")
    assert done[0] == 0
    assert official("wasm", "run", "-i", inputs, sample("cat"), "/inputs/horses.csv")[1].startswith(
        "horse,horseLabel,mother"
    )


@needs_samples
def test_imports_of_imports(official: Official) -> None:
    inputs = ("-I", f"{sample('easter')}:input.wasm")
    assert official("wasm", "run", *inputs, sample("dynamic"))[:2] == (0, "17\n")


@needs_samples
def test_a_module_that_prints_slowly(official: Official) -> None:
    inputs = f"file://{SAMPLES}/logtest/inputs:/inputs"
    code, stdout, _ = official(
        "wasm", "run", "-i", inputs, sample("logtest"), "--", "/inputs/cosmic_computer.txt", "--fast"
    )
    assert (code, len(stdout) > 100) == (0, True)


@needs_samples
@pytest.mark.parametrize("name", ["wasm.yaml", "wasm_legacy.yaml"])
def test_its_sample_specs(official: Official, name: str) -> None:
    assert yaml.safe_load((JOBS / name).read_text())["Tasks"][0]["Engine"]["Type"] == "wasm"
    assert official("job", "run", str(JOBS / name))[0] == 0
