"""The keys of ACME, read and checked before a node starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.tls.acme.settings import AutoCertSettings

DEFAULT = Path("/data/autocert-cache")


def read(**keys: Any) -> AutoCertSettings | None:
    values = {f"API.TLS.{name}": value for name, value in keys.items()}
    return AutoCertSettings.of(Config({"API.TLS.AutoCert": "node.example.org", **values}), DEFAULT)


def test_without_a_name_nothing_is_ordered_and_nothing_is_checked() -> None:
    assert AutoCertSettings.of(Config({"API.TLS.AutoCertDirectory": "nonsense"}), DEFAULT) is None


def test_only_a_name_is_needed() -> None:
    settings = read()
    assert settings is not None
    assert settings.names == ("node.example.org",)
    assert settings.cache_dir == DEFAULT
    assert settings.directory_url == "https://acme-v02.api.letsencrypt.org/directory"
    assert (settings.challenge, settings.http_port, settings.contact, settings.profile) == (
        "tls-alpn-01",
        80,
        "",
        "",
    )


def test_each_key_is_read(tmp_path: Path) -> None:
    config = Config(
        {
            "API.TLS.AutoCert": "192.0.2.7",
            "API.TLS.AutoCertCachePath": str(tmp_path),
            "API.TLS.AutoCertDirectory": "https://acme.example.org/dir",
            "API.TLS.AutoCertContact": "mailto:ops@example.org",
            "API.TLS.AutoCertChallenge": "HTTP-01",
            "API.TLS.AutoCertHTTPPort": 8080,
            "API.TLS.AutoCertProfile": "shortlived",
        }
    )
    settings = AutoCertSettings.of(config, DEFAULT)
    assert settings is not None
    assert settings.cache_dir == tmp_path
    assert settings.directory_url == "https://acme.example.org/dir"
    assert (settings.challenge, settings.http_port) == ("http-01", 8080)
    assert (settings.contact, settings.profile) == ("ops@example.org", "shortlived")


@pytest.mark.parametrize(
    "url", ["http://acme.example.org/dir", "acme.example.org", "https://", "", "https://[x"]
)
def test_a_directory_without_tls_or_host_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"API\.TLS\.AutoCertDirectory is not an https URL"):
        read(AutoCertDirectory=url)


@pytest.mark.parametrize(
    "address", ["ops", "a@b", "a@example.org,b@example.org", "a b@example.org", "a@b.org?x"]
)
def test_a_contact_that_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"API\.TLS\.AutoCertContact is not an e-mail address"):
        read(AutoCertContact=address)


def test_an_authority_that_can_t_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("nothing")
    for path, reason in (
        (str(tmp_path / "missing"), "No such file"),
        (str(tmp_path), "Is a directory|holds no certificate"),
        ("a\0b", "null"),
        (str(text), "holds no certificate"),
    ):
        with pytest.raises(ConfigurationError, match=rf"API\.TLS\.AutoCertCAFile .*({reason})"):
            read(AutoCertCAFile=path)
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    assert read(AutoCertCAFile=str(authority)) is not None


def test_what_has_to_be_forwarded_is_said() -> None:
    settings, by_http = read(), read(AutoCertChallenge="http-01")
    assert settings is not None
    assert by_http is not None
    assert settings.remark(443) == ""
    assert "port 443 of node.example.org" in settings.remark(1234)
    assert "port 1234" in settings.remark(1234)
    assert by_http.remark(1234) == ""
