"""``API.TLS.*`` of a server: half a configuration, several ways at once, and what only clients have."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.tls.settings import Encryption, check, encryption_of
from tests.tls.files import write_pair


async def encryption(tmp_path: Path, values: dict[str, Any]) -> Encryption | None:
    config = Config({"DataDir": str(tmp_path / "repo"), **values})
    check(config)
    return await encryption_of(config, Repo(config.data_dir), "n-test", SystemClock(), Problems())


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"API.TLS.CertFile": "c"},
            "invalid config: TLS cert specified without corresponding private key",
        ),
        (
            {"API.TLS.KeyFile": "k"},
            "invalid config: private key specified without corresponding TLS certificate",
        ),
        (
            {"API.TLS.KeyFile": "k", "API.TLS.SelfSigned": True},
            "invalid config: private key specified without corresponding TLS certificate",
        ),
    ],
)
async def test_half_a_configuration_is_refused_in_the_official_words(
    tmp_path: Path, values: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await encryption(tmp_path, values)
    assert caught.value.message == problem
    assert "API.TLS." in caught.value.hint


async def test_files_go_before_the_node_s_own_certificate(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    files = {"API.TLS.CertFile": str(pair.certificate), "API.TLS.KeyFile": str(pair.key)}
    chosen = await encryption(tmp_path, {**files, "API.TLS.SelfSigned": True})
    assert chosen is not None
    assert chosen.certificate_file == str(pair.certificate)
    assert not (tmp_path / "repo/tls").exists()


async def test_without_any_of_them_the_node_speaks_plain_http(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await encryption(tmp_path, {}) is None
    assert caplog.messages == []
    assert await encryption(tmp_path, {"API.TLS.UseTLS": True}) is None
    assert "API.TLS.UseTLS is for clients" in caplog.text


async def test_clients_and_server_may_share_a_configuration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await encryption(tmp_path, {"API.TLS.UseTLS": True, "API.TLS.SelfSigned": True}) is not None
    assert "is for clients" not in caplog.text


async def test_without_the_package_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_module = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return import_module(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match="needs the package cryptography") as caught:
        await encryption(tmp_path, {"API.TLS.SelfSigned": True})
    assert "bacalhau-jupyter[tls]" in caught.value.hint


@pytest.mark.parametrize(
    "sources",
    [
        {"environ": {"BACALHAU_TLS_CERT": "/c.pem", "BACALHAU_TLS_KEY": "/k.pem"}},
        {"environ": {"BACALHAU_API_TLS_CERTFILE": "/c.pem", "BACALHAU_API_TLS_KEYFILE": "/k.pem"}},
        {
            "overrides": (
                "Node.ServerAPI.TLS.ServerCertificate=/c.pem",
                "Node.ServerAPI.TLS.ServerKey=/k.pem",
            )
        },
    ],
)
def test_words_of_older_documents_mean_the_same_keys(tmp_path: Path, sources: dict[str, Any]) -> None:
    config = Config.from_sources(**{"environ": {}, "flags": {"DataDir": str(tmp_path)}} | sources)
    assert (config["API.TLS.CertFile"], config["API.TLS.KeyFile"]) == ("/c.pem", "/k.pem")
