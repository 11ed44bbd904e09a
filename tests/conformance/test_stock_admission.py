"""An unmodified official node with the configurations and jobs of `admission`; ``BACALHAU_STOCK_BINARY`` names it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conformance.admission import Case, agrees, by_configuration, call, filled, title, verdict
from tests.services.common import wait_until
from tests.services.ports import free_port
from tests.services.registry import Registry

BINARY = os.environ.get("BACALHAU_STOCK_BINARY", "")
pytestmark = pytest.mark.skipif(not BINARY, reason="BACALHAU_STOCK_BINARY names no official program")

TIMEOUT_S = 60.0
HOST = "127.0.0.1"


@contextmanager
def official_node(home: Path, keys: dict[str, str]) -> Iterator[str]:
    """Run an official node of both roles; yields the URL of its API."""
    api, link, results = (free_port() for _ in range(3))
    every = {
        "API.Host": HOST,
        "API.Port": api,
        "Orchestrator.Host": HOST,
        "Orchestrator.Port": link,
        "Compute.Orchestrators": f"nats://{HOST}:{link}",
        "Publishers.Types.Local.Port": results,
        **keys,
    }
    quiet = {"BACALHAU_DISABLEANALYTICS": "true", "BACALHAU_UPDATECONFIG_INTERVAL": "0"}
    own = {"HOME": str(home), "BACALHAU_DIR": str(home / "node"), "APP_X": "1", "MY_APP_X": "2"}
    words = [word for key, value in every.items() for word in ("-c", f"{key}={value}")]
    with (home / "node.log").open("wb") as log:
        node = subprocess.Popen(
            [BINARY, "serve", "--orchestrator", "--compute", "--name", "stock", *words],
            env={**os.environ, **quiet, **own},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    url = f"http://{HOST}:{api}"
    try:
        assert wait_until(lambda: is_up(url), timeout_s=TIMEOUT_S, interval_s=0.3), (
            home / "node.log"
        ).read_text()[-2000:]
        yield url
    finally:
        node.terminate()
        node.wait(timeout=30)


def is_up(url: str) -> bool:
    try:
        nodes = call(f"{url}/api/v1/orchestrator/nodes")["Nodes"]
    except OSError:
        return False
    return any(
        node["Info"]["NodeType"] == "Compute" and node["Connection"] == "CONNECTED" for node in nodes or []
    )


@pytest.mark.parametrize("cases", by_configuration(), ids=title)
def test_an_official_node_decides_as_it_is_recorded(
    cases: list[Case], tmp_path: Path, registry: Registry, busybox_image: str
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    words = {"docs": str(docs), "engine": "docker"}
    image = registry.push(busybox_image).tagged
    engine = {"Type": "docker", "Params": {"Image": image, "Parameters": ["true"]}}
    with official_node(tmp_path, filled(cases[0].official_keys, words)) as url:
        for case in cases:
            said = verdict(url, engine, filled(dict(case.task), words))
            assert agrees(said, filled(case.expected_officially, words)), (case.name, said)
