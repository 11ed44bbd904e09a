"""Where packages come from: pip's settings for uv, and no secret in anything that the resolver says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.client.packages.indexes import Redactor, index_words, resolver_environment


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}


def test_pips_file_and_variables_become_settings_of_uv(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://ann:from-file@one/simple\nextra-index-url =\n  https://two/simple\n"
        "  https://three/simple\ntrusted-host = one\n"
    )
    environment = resolver_environment({**home, "PIP_FIND_LINKS": "/wheels /more"})
    assert environment["UV_DEFAULT_INDEX"] == "https://ann:from-file@one/simple"
    assert environment["UV_EXTRA_INDEX_URL"] == "https://two/simple https://three/simple"
    assert environment["UV_FIND_LINKS"] == "/wheels,/more"
    assert environment["UV_INSECURE_HOST"] == "one"


def test_variables_are_above_pips_file_and_uvs_own_above_both(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://file/simple\n")
    variables = {**home, "PIP_INDEX_URL": "https://variable/simple"}
    assert resolver_environment(variables)["UV_DEFAULT_INDEX"] == "https://variable/simple"
    own = {**variables, "UV_DEFAULT_INDEX": "https://uv/simple"}
    assert resolver_environment(own)["UV_DEFAULT_INDEX"] == "https://uv/simple"


def test_a_broken_file_of_pip_is_passed_over(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_bytes(b"\xff not a file [of pip")
    assert "UV_DEFAULT_INDEX" not in resolver_environment(home)


def test_settings_that_would_change_what_is_asked_for_do_not_reach_uv(home: dict[str, str]) -> None:
    environment = resolver_environment(
        {
            **home,
            "UV_NO_BINARY": "1",
            "UV_TARGET": "/",
            "BACALHAU_API_KEY": "k",
            "VIRTUAL_ENV": "/v",
            "PYTHONPATH": "/p",
        }
    )
    assert {"UV_NO_BINARY", "UV_TARGET", "BACALHAU_API_KEY", "VIRTUAL_ENV", "PYTHONPATH"}.isdisjoint(
        environment
    )


def test_credentials_of_every_kind_are_removed_from_what_the_resolver_says(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine host login ann password netrc-secret\n")
    redact = Redactor(
        {
            "HOME": str(tmp_path),
            "UV_DEFAULT_INDEX": "https://ann:url%2Dsecret@host/simple",
            "UV_INDEX": "corp=https://token-alone@host/simple",
            "UV_INDEX_CORP_PASSWORD": "variable-secret",
        }
    )
    said = redact(
        "url-secret url%2Dsecret token-alone variable-secret netrc-secret https://other:unknown@host/ ok"
    )
    assert said == "*** *** *** *** *** https://***@host/ ok"


def test_what_a_request_is_named_by_holds_no_credentials() -> None:
    first = index_words(
        {"UV_DEFAULT_INDEX": "https://ann:old-secret@host/simple", "UV_INDEX_A_PASSWORD": "secret"}
    )
    second = index_words({"UV_DEFAULT_INDEX": "https://ann:new-secret@host/simple"})
    assert first == second == ["UV_DEFAULT_INDEX=https://***@host/simple"]
    assert first != index_words({"UV_DEFAULT_INDEX": "https://elsewhere/simple"})
