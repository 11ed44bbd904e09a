"""Links that open for whoever has one, for a while."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from bacalhau_jupyter.models.errors import Forbidden
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.transfer.core.signing import local_reference, sign, signed_reference, verify
from tests.clock import ManualClock

KEY = bytes(range(32))


def parts(spec: SpecConfig) -> tuple[str, dict[str, str]]:
    url = urlsplit(spec.params["URL"])
    return unquote(url.path), dict(parse_qsl(url.query))


def test_a_stored_reference_becomes_a_link_on_the_callers_address_that_opens_until_it_expires() -> None:
    clock = ManualClock()
    stored = local_reference("e-1", "n-1")
    signed = signed_reference(stored, "http://127.0.0.1:4321/", KEY, clock.now_ns(), expiry_s=60)
    assert signed.type == "urlDownload"
    assert signed.params["URL"].startswith("http://127.0.0.1:4321/api/v1/compute/results/e-1.tar.gz?")
    path, query = parts(signed)
    clock.advance(59)
    verify(path, query, KEY, clock.now_ns())
    clock.advance(1)
    with pytest.raises(Forbidden, match="expired at 2023-11-14T22:14:20Z"):
        verify(path, query, KEY, clock.now_ns())
    # A day later, after a restart on another port, the same reference gives a good link again.
    clock.advance(86_400)
    path, query = parts(signed_reference(stored, "http://127.0.0.1:9", KEY, clock.now_ns()))
    verify(path, query, KEY, clock.now_ns())


def test_other_references_stay_as_they_are() -> None:
    spec = SpecConfig(type="ipfs", params={"CID": "Qm"})
    assert signed_reference(spec, "http://h", KEY, 0) is spec


@pytest.mark.parametrize(
    "change",
    [
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "é\udc80"},
        {"expires": "99999999999"},
        {"expires": ""},
        {"expires": "soon"},
    ],
)
def test_a_changed_link_does_not_open(change: dict[str, str]) -> None:
    query = dict(parse_qsl(sign("/p", 2_000_000_000, KEY)))
    verify("/p", query, KEY, 0)
    with pytest.raises(Forbidden, match="not signed by this node"):
        verify("/p", query | change, KEY, 0)


def test_a_link_opens_its_own_path_on_its_own_node_only() -> None:
    query = dict(parse_qsl(sign("/p", 2_000_000_000, KEY)))
    for path, key in (("/q", KEY), ("/p", KEY[::-1])):
        with pytest.raises(Forbidden):
            verify(path, query, key, 0)
    with pytest.raises(Forbidden):
        verify("/p", {}, KEY, 0)


def test_an_empty_key_signs_nothing() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        sign("/p", 1, b"")
