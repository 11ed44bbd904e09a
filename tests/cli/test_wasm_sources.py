"""``wasm run`` with modules that lie elsewhere: a bucket, IPFS, the web, a path of the node."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Shell, shell_of
from tests.services.kubo import KuboNode
from tests.services.node_fixtures import factory
from tests.services.s3 import S3Server
from tests.services.wasm_modules import printing

pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
pytestmark = pytest.mark.timeout(300)

MODULE = printing("from elsewhere")


@pytest.fixture
def shell(kubo: KuboNode, s3_credentials: S3Server, tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "main.wasm").write_bytes(MODULE)
    settings = {
        "InputSources.Types.IPFS.Endpoint": kubo.endpoint,
        "Compute.AllowListedLocalPaths": f"{tmp_path / 'shared'},{tmp_path / 'shared'}/**",
    }
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    with factory(tmp_path) as start:
        yield shell_of(start(*options, env=dict(s3_credentials.environment())), tmp_path)


def ran(shell: Shell, module: str) -> subprocess.CompletedProcess[str]:
    done = shell("wasm", "run", module, "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_a_module_comes_from_a_bucket_ipfs_or_the_node(
    shell: Shell, kubo: KuboNode, s3_credentials: S3Server, tmp_path: Path
) -> None:
    bucket = s3_credentials.bucket({"programs/main.wasm": MODULE})
    endpoint = f"opt=endpoint={s3_credentials.url},opt=region=us-east-1"
    cid = kubo.add(tmp_path / "shared")
    for module in (
        f"s3://{bucket}/programs/main.wasm,{endpoint}",
        f"ipfs://{cid}/main.wasm",
        f"file://{tmp_path / 'shared' / 'main.wasm'}",
        f"file://{tmp_path / 'shared'}:/app",
    ):
        assert "from elsewhere" in ran(shell, module).stdout, module


def test_what_lies_there_is_told_when_it_is_no_module(shell: Shell, s3_credentials: S3Server) -> None:
    bucket = s3_credentials.bucket({"text.wasm": b"not a module"})
    endpoint = f"opt=endpoint={s3_credentials.url},opt=region=us-east-1"
    done = shell("wasm", "run", f"s3://{bucket}/text.wasm,{endpoint}", "--follow")
    assert done.returncode == 1
    assert "not a WebAssembly module" in done.stderr
