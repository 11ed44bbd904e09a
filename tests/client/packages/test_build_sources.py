"""Which indexes a build inside a job may know."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.client.packages.build_sources import build_sources
from bacalhau_jupyter.models.errors import BadRequest

URL = "https://index.example/simple"


@pytest.mark.parametrize(
    ("settings", "indexes", "options"),
    [
        ({}, (), ()),
        ({"UV_DEFAULT_INDEX": URL}, (URL,), ()),
        (
            {"UV_INDEX_URL": URL, "UV_INSECURE_HOST": "a b"},
            (URL,),
            ("--trusted-host", "a", "--trusted-host", "b"),
        ),
        ({"UV_EXTRA_INDEX_URL": "https://x.example/"}, ("https://x.example/", "https://pypi.org/simple"), ()),
        ({"UV_INDEX": f"ours={URL}"}, (URL, "https://pypi.org/simple"), ()),
        (
            {"UV_NO_INDEX": "1", "UV_FIND_LINKS": "https://links.example/,/a/directory"},
            (),
            ("--find-links", "https://links.example/", "--no-index"),
        ),
    ],
)
def test_the_configured_indexes_are_those_of_the_build(
    tmp_path: Path, settings: dict[str, str], indexes: tuple[str, ...], options: tuple[str, ...]
) -> None:
    sources = build_sources({"HOME": str(tmp_path), **settings})
    assert (sources.indexes, sources.options) == (indexes, options)
    assert not sources.on_this_machine


def test_an_index_on_this_machine_is_known(tmp_path: Path) -> None:
    settings = {"HOME": str(tmp_path), "UV_DEFAULT_INDEX": "http://127.0.0.1:81/simple"}
    assert build_sources(settings).on_this_machine


def test_proxies_without_a_password_and_certificates_without_a_key_travel(tmp_path: Path) -> None:
    public, private = tmp_path / "ca.pem", tmp_path / "own.pem"
    public.write_text("-----BEGIN CERTIFICATE-----\n")
    private.write_text("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n")
    settings = {"HTTPS_PROXY": "http://proxy:8080", "http_proxy": "http://ann:a-secret@proxy:8080"}
    sources = build_sources({"HOME": str(tmp_path), "SSL_CERT_FILE": str(public), **settings})
    assert (sources.proxies, sources.certificates) == ({"HTTPS_PROXY": "http://proxy:8080"}, public)
    for path in (private, tmp_path / "nothing", tmp_path):
        assert build_sources({"HOME": str(tmp_path), "SSL_CERT_FILE": str(path)}).certificates is None


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {"UV_DEFAULT_INDEX": "https://ann:a-secret@index.example/simple"},
            "the index index.example needs a cr",
        ),
        ({"UV_DEFAULT_INDEX": "https://a-secret@index.example/simple"}, "needs a credential"),
        (
            {"UV_EXTRA_INDEX_URL": f"{URL} https://ann:a-secret@x.example/"},
            "the index x.example needs a cred",
        ),
        ({"UV_INDEX": "ours=https://ann:a-secret@x.example/"}, "the index x.example needs a credential"),
        ({"UV_DEFAULT_INDEX": f"{URL}?token=a-secret"}, "needs a credential"),
        ({"UV_DEFAULT_INDEX": URL, "UV_INDEX_OURS_PASSWORD": "a-secret"}, "needs a credential"),
        ({"UV_DEFAULT_INDEX": "https://netrc.example/simple"}, "the index netrc.example needs a credential"),
        ({"UV_FIND_LINKS": "https://ann:a-secret@x.example/"}, "the index x.example needs a credential"),
        ({"UV_DEFAULT_INDEX": "file:///srv/index"}, "an index on this disk"),
        ({"UV_DEFAULT_INDEX": "/srv/index"}, "an index on this disk"),
        ({"UV_NO_INDEX": "true"}, "no index is configured"),
        ({"XDG_CONFIG_HOME": "{home}/with"}, "names the index, and only uv reads it"),
    ],
)
def test_what_a_job_must_not_or_can_not_have_is_refused(
    tmp_path: Path, settings: dict[str, str], reason: str
) -> None:
    (tmp_path / ".netrc").write_text("machine netrc.example login ann password a-secret")
    (tmp_path / "with" / "uv").mkdir(parents=True)
    (tmp_path / "with" / "uv" / "uv.toml").write_text('[[index]]\nurl = "https://x.example/a-secret"\n')
    settings = {name: value.format(home=tmp_path) for name, value in settings.items()}
    with pytest.raises(BadRequest, match=reason) as refused:
        build_sources({"HOME": str(tmp_path), **settings})
    assert "a-secret" not in f"{refused.value.message}{refused.value.hint}"
