"""Passwords, tokens and signatures of URLs in whatever is shown."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.endpoint import Endpoint, endpoint_url
from bacalhau_jupyter.lib.masking import MASK, looks_secret, mask_secrets, masked_variables
from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.node.logs import JsonFormatter, PlainFormatter
from bacalhau_jupyter.transfer.core.addresses import parse_http_url, shown_url

HIDDEN = [
    "http://user:secret@host/x",
    "GET http://user:secret@host failed: refused",
    "(http://user:secret@host:8080)",
    "http://secret@host/x",
    "http://user:se/cr?et#secret@host/x",
    "https://user:secret@host:1/a and https://other:secret@host2/b",
    "nats://secret@orchestrator:4222",
    "http://user:secret@sec@ret@host/",
    "tcp://user:secret@10.0.0.1:2376",
    "ssh://user:secret@host",
    "https://s3.lan/b/k?X-Amz-Credential=secret&X-Amz-Signature=secret&X-Amz-Security-Token=secret",
    "http://127.0.0.1:1234/api/v1/compute/results/e.tar.gz?expires=1&signature=secret",
    "https://host/x?a=1&token=secret",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_a_secret_of_a_url_is_masked_in_errors_events_and_logs(text: str) -> None:
    assert "secret" in text
    error = BacalhauError(text, hint=text, details={"URL": text})
    texts = [
        mask_secrets(text),
        error.message,
        str(error),
        error.hint,
        error.details["URL"],
        str(error.envelope()),
    ]
    event = decode(encode({"Message": text, "Details": {"x": text}}), Event)
    texts += [event.message, event.details["x"], Event(message=text).message]
    record = logging.LogRecord("x", logging.INFO, "", 0, "failed: %s", (text,), None)
    texts += [JsonFormatter().format(record), PlainFormatter("%(message)s").format(record)]
    texts += [str(shown_url(text))]
    assert not [words for words in texts if "secret" in words]


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8080/x?a=b",
        "https://medium.com/@somebody/x",
        "https://registry.npmjs.org:443/@scope/package",
        "alpine:3@sha256:0123",
        "mail me@example.org",
        "ssh://core@gpu-host",
        "signature of the archive: abc",
        "",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(text: str) -> None:
    assert mask_secrets(text) == text


@given(st.text(alphabet="ab:/@?#[] \n'", max_size=30))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once = mask_secrets(f"http://{text}")
    assert mask_secrets(once) == once


def test_a_broken_url_is_refused_without_its_password() -> None:
    for url in (
        "http://user:secret@[::1/x",
        "http://user:secret@host:port/x",
        "ftp://user:secret@host/",
        "user:secret@h",
    ):
        with pytest.raises(BacalhauError) as caught:
            parse_http_url(url)
        assert "secret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


def test_an_endpoint_shows_no_password_and_uses_it_all_the_same() -> None:
    endpoint = Endpoint(url="https://user:se%40cret@host:1/gateway")
    assert endpoint.url == "https://host:1/gateway"
    assert endpoint.headers() == {"Authorization": "Basic dXNlcjpzZUBjcmV0"}
    assert Endpoint(url="https://user:secret@host", token="t").headers() == {"Authorization": "Bearer t"}
    with pytest.raises(ConfigurationError) as caught:
        endpoint_url("user:secret@host:port")
    assert "secret" not in caught.value.message


def test_the_configuration_that_is_shown_holds_no_password_of_a_url() -> None:
    config = Config(
        {
            "JobAdmissionControl.ProbeHTTP": "http://u:secret@h/",
            "Compute.Orchestrators": ["nats://secret@h:1"],
        }
    )
    assert "secret" not in str(config.to_wire())
    assert config["JobAdmissionControl.ProbeHTTP"] == "http://u:secret@h/"


NAMES = json.loads((Path(__file__).parent.parent / "data" / "secret_names.json").read_bytes())
"""The front end's copy of the rule is held to the same names."""


@pytest.mark.parametrize("name", NAMES["secret"])
def test_a_variable_whose_name_looks_secret_is_masked(name: str) -> None:
    assert looks_secret(name)
    assert masked_variables({name: "hunter2"}) == {name: MASK}


@pytest.mark.parametrize("name", NAMES["ordinary"])
def test_an_ordinary_variable_is_shown(name: str) -> None:
    assert masked_variables({name: "hunter2"}) == {name: "hunter2"}


def test_a_value_shows_no_password_of_a_url_but_the_name_of_a_variable_of_the_node() -> None:
    assert masked_variables({"DATABASE": "postgres://me:hunter2@db/x"}) == {
        "DATABASE": f"postgres://{MASK}@db/x"
    }
    assert masked_variables({"TOKEN": "env:TOKEN", "KEY": ""}) == {"TOKEN": "env:TOKEN", "KEY": ""}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text", ["a" * 2_000_000 + " ://@", "a://" * 500_000 + "@", "a://" + ":" * 2_000_000 + "@ x"]
)
def test_a_text_that_somebody_made_to_take_long_does_not(text: str) -> None:
    """It took hours, in whatever says what is wrong with a file, a job or a request."""
    assert len(mask_secrets(text)) <= len(text) + 10


def test_a_password_is_found_behind_letters_without_end() -> None:
    assert "secret" not in mask_secrets("x" * 1000 + "https://user:secret@host/")
