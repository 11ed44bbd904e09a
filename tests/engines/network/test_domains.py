"""Which hosts a list of domains allows; the official cases, and hosts that only look like an allowed one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.engines.network.domains import Domains


@pytest.mark.parametrize(
    ("domain", "host"),
    [
        ("foo.com", "foo.com"),
        (".foo.com", "foo.com"),
        (".foo.com", "x.foo.com"),
        (".foo.com", "y.x.foo.com"),
        (" .FOO.com ", "Foo.COM"),
        ("foo.com", "foo.com."),
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8::1", "[2001:db8:0::1]"),
    ],
)
def test_a_domain_allows(domain: str, host: str) -> None:
    assert Domains([domain]).allow(host)


@pytest.mark.parametrize(
    ("domain", "host"),
    [
        ("foo.com", "x.foo.com"),
        ("x.foo.com", "foo.com"),
        (".foo.com", "bar.com"),
        (".foo.com", "evilfoo.com"),
        (".foo.com", "foo.com.evil.org"),
        (".foo.com", ".com"),
        (".foo.com", "com"),
        (".foo.com", ""),
        ("foo.com", "foo.com.."),
        ("10.1.2.3", "10.1.2.4"),
        ("10.1.2.3", "167838211"),
        (".2.3", "10.1.2.3"),
    ],
)
def test_a_domain_does_not_allow(domain: str, host: str) -> None:
    assert not Domains([domain]).allow(host)


@given(st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,4}", fullmatch=True))
def test_a_wildcard_allows_nothing_but_itself_and_what_ends_with_it(host: str) -> None:
    expected = host == "foo.com" or host.endswith(".foo.com")
    assert Domains([".foo.com"]).allow(host) is expected
