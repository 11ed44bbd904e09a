"""``ResultDownloaders.*``: what a person's own configuration says about fetching results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.client.results.sources import NoDownloader, open_sources
from bacalhau_jupyter.grammar.jobs.fetching import _timeout
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from tests.client.results.test_sources import CLUSTER
from tests.services.kubo import KuboNode, private_kubo
from tests.transfer.helpers import tree

__all__ = ["private_kubo"]

LINK = SpecConfig(type="urlDownload", params={"URL": "http://127.0.0.1:1/k.tar.gz"})


async def again() -> Sequence[SpecConfig]:
    return []


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the config file that clients of this test read."""
    monkeypatch.setenv("BACALHAU_DIR", str(tmp_path / "repo"))
    (tmp_path / "repo").mkdir()
    return tmp_path / "repo" / "config.yaml"


async def test_a_disabled_download_type_is_not_used_and_the_error_names_the_key(config: Path) -> None:
    (source,) = open_sources([LINK], [], CLUSTER, again)
    await source.reader.close()
    config.write_text(_yaml({"ResultDownloaders.Disabled": ["URLDOWNLOAD"]}), encoding="utf-8")
    with pytest.raises(NoDownloader) as caught:
        open_sources([LINK], [], CLUSTER, again)
    assert "ResultDownloaders.Disabled" in caught.value.hint


async def test_what_a_command_sets_for_itself_counts_for_its_downloads(config: Path) -> None:
    del config
    own = replace(CLUSTER, overrides=("ResultDownloaders.Disabled=urlDownload",))
    with pytest.raises(NoDownloader):
        open_sources([LINK], [], own, again)


def test_a_download_has_the_time_limit_of_the_configuration_unless_a_flag_says_otherwise(
    config: Path,
) -> None:
    assert _timeout(None) is None
    config.write_text(_yaml({"ResultDownloaders.Timeout": "90s"}), encoding="utf-8")
    assert _timeout(None) == 90.0
    assert _timeout(120) == 120.0


async def test_results_of_a_private_swarm_are_found_by_the_configured_peers_and_key(
    config: Path, tmp_path: Path, private_kubo: tuple[KuboNode, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, key = private_kubo
    # Without a node of one's own the `ipfs` command starts one for the download.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ipfs").symlink_to(peer.binary)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "stdout").write_text("hi\n", encoding="utf-8")
    published = SpecConfig(type="ipfs", params={"CID": peer.add(tmp_path / "result")})
    (tmp_path / "swarm.key").write_text(key, encoding="utf-8")
    ipfs = "ResultDownloaders.Types.IPFS"
    wrong = {f"{ipfs}.SwarmAddresses": ["/ip4/127.0.0.1/tcp/4001"]}
    config.write_text(_yaml(wrong), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="names no peer"):
        open_sources([published], [], CLUSTER, again)
    key_file = str(tmp_path / "swarm.key")
    right = {f"{ipfs}.SwarmAddresses": peer.swarm_addresses, f"{ipfs}.SwarmKey": key_file}
    config.write_text(_yaml(right), encoding="utf-8")
    (source,) = open_sources([published], [], CLUSTER, again)
    (tmp_path / "out").mkdir()
    await source.reader.save(tmp_path / "out")
    assert tree(tmp_path / "out") == tree(tmp_path / "result")
    await source.reader.close()


def _yaml(values: Mapping[str, object]) -> str:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *sections, leaf = name.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[leaf] = value
    return json.dumps(tree)
