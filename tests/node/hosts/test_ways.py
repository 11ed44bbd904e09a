"""Hosts that are reached without ssh, over TLS or by a Docker context; and the verbs of a shell."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.records.host_orders import AddHost, RemoveHost, TlsFiles
from bacalhau_jupyter.models.records.hosts import HostState
from tests.services.far_host import FarHost
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import until


def tls_files(directory: Path) -> TlsFiles:
    return TlsFiles(**{name: str(directory / f"{name}.pem") for name in ("ca", "cert", "key")})


async def test_a_host_over_tls_tells_its_disk_without_a_shell(
    far_host: FarHost, api: AsyncAPI, tmp_path: Path
) -> None:
    far_host.certificates(tmp_path)
    added = await api.hosts.add(AddHost(name="gpu2", url=far_host.tls_url, tls=tls_files(tmp_path)))
    assert added.state is HostState.READY
    assert added.way == "tcp with TLS"
    assert added.facts is not None
    assert added.facts.machine == far_host.name
    assert added.facts.resources.disk > 0

    async def is_asked() -> bool:
        # What is asked in a container leaves none behind; it may be asked once more meanwhile.
        return "df -PB1" not in far_host.shell("docker ps -a --no-trunc")

    await until(is_asked)
    assert far_host.shell("docker images --quiet bacalhau-jupyter/empty").split()
    nameless = far_host.shell("docker images --quiet --filter dangling=true")
    tested = await api.hosts.test("gpu2")
    assert tested.ok, tested
    await api.hosts.remove("gpu2", RemoveHost())
    await api.hosts.add(AddHost(name="gpu2", url=far_host.tls_url, tls=tls_files(tmp_path)))
    await until(is_asked)
    assert far_host.shell("docker images --quiet --filter dangling=true") == nameless
    with pytest.raises(BadRequest, match="not protected by TLS"):
        await api.hosts.add(AddHost(name="bare", url=f"tcp://{far_host.address}:2375"))


async def test_a_docker_context_is_kept_by_its_name(
    far_host: FarHost, api: AsyncAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    meta = tmp_path / "docker" / "contexts" / "meta" / hashlib.sha256(b"lab").hexdigest()
    meta.mkdir(parents=True)
    described = {"Name": "lab", "Metadata": {}, "Endpoints": {"docker": {"Host": far_host.engine_url}}}
    (meta / "meta.json").write_text(json.dumps(described))
    (tmp_path / "docker" / "contexts" / "meta" / "broken").mkdir()
    (tmp_path / "docker" / "contexts" / "meta" / "broken" / "meta.json").write_text("{")
    assert [each.name for each in (await api.hosts.list()).contexts] == ["lab"]
    added = await api.hosts.add(AddHost(context="lab"))
    assert (added.name, added.context, added.url) == ("lab", "lab", far_host.engine_url)
    assert added.state is HostState.READY
    assert (await api.hosts.list()).contexts == []
    with pytest.raises(BadRequest, match='the Docker context "none" does not exist'):
        await api.hosts.add(AddHost(context="none"))


def host(node: ServedNode, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a verb against a node."""
    return subprocess.run(
        [sys.executable, "-m", "bacalhau_jupyter", "host", *words],
        env={"PATH": os.environ["PATH"], "HOME": str(node.repo.path), **node.client_env()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.process
@pytest.mark.timeout(600)
def test_the_verbs_of_a_shell(far_host: FarHost, node_factory: NodeFactory) -> None:
    node = node_factory()
    address = f"ssh://alice@{far_host.address}"
    way = (address, "--name", "gpu1", "--ssh-option", f"IdentityFile={far_host.users.key}")
    tried = host(node, "add", *way, "--dry-run")
    # A shell can tell by the exit code that the host can not be used yet.
    assert tried.returncode == 1, tried
    assert f"--trust {far_host.users.fingerprint}" in tried.stdout
    refused = host(node, "add", *way)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert f"--trust {far_host.users.fingerprint}" in refused.stderr
    added = host(node, "add", *way, "--trust", far_host.users.fingerprint, "--cpu", "50%")
    assert added.returncode == 0, added
    assert far_host.name in added.stdout
    assert "gpu1" in host(node, "list").stdout
    assert json.loads(host(node, "show", "gpu1", "--output", "json").stdout)["State"] == "Ready"
    assert "✓  engine" in host(node, "test", "gpu1").stdout
    assert "takes no new jobs" in host(node, "pause", "gpu1").stdout
    assert "Paused" in host(node, "list").stdout
    assert "takes jobs again" in host(node, "resume", "gpu1").stdout
    assert host(node, "show", "gpu9").returncode == 1
    assert "was removed" in host(node, "remove", "gpu1").stdout
    assert "There are no Docker hosts" in host(node, "list").stdout
