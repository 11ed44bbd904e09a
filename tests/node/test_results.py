"""Links to local results: where they lead, and what a link to a removed result is answered with."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.lib.clock import SECOND, SystemClock
from bacalhau_jupyter.models.errors import ConfigurationError, NotFound
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.addresses import LinkAddress
from bacalhau_jupyter.node.results import LocalResults
from bacalhau_jupyter.publishers import removals
from bacalhau_jupyter.publishers.removals import Removal
from bacalhau_jupyter.publishers.shelf import result_path, results_directory
from bacalhau_jupyter.transfer.core.signing import local_reference

BASE = "http://localhost:1234"


@pytest.mark.parametrize(
    ("address", "port", "base", "link"),
    [
        ("127.0.0.1", None, BASE, BASE),
        ("", None, BASE, BASE),
        ("results.example.org", None, BASE, "http://results.example.org:1234"),
        ("results.example.org", 8443, BASE, "http://results.example.org:8443"),
        ("127.0.0.1", 8443, BASE, "http://127.0.0.1:8443"),
        ("127.0.0.1", 6001, BASE, "http://127.0.0.1:6001"),
        ("127.0.0.1", 0, BASE, BASE),
        ("https://results.example.org", None, BASE, "https://results.example.org"),
        ("https://results.example.org/", 8443, BASE, "https://results.example.org:8443"),
        ("::1", 7000, BASE, "http://[::1]:7000"),
        ("127.0.0.1", 7000, "http://[::1]:1234", "http://127.0.0.1:7000"),
        ("10.0.0.7", None, "http://localhost:1234/prefix", "http://10.0.0.7:1234/prefix"),
    ],
)
def test_links_lead_to_the_configured_address_and_otherwise_to_where_the_caller_came(
    address: str, port: int | None, base: str, link: str
) -> None:
    values: dict[str, object] = {"Publishers.Types.Local.Address": address}
    if port is not None:
        values["Publishers.Types.Local.Port"] = port
    config = Config().replace(values)
    assert settings.link_address(config).applied_to(base) == link


@pytest.mark.parametrize("address", ["ftp://x", "a b", "http://x:80", "x/y", "user@host"])
def test_an_invalid_address_is_refused_at_the_start_by_name(address: str) -> None:
    config = Config().replace({"Publishers.Types.Local.Address": address, "Orchestrator.Enabled": True})
    with pytest.raises(ConfigurationError, match=r"Publishers\.Types\.Local\.Address is not a host"):
        settings.check(config)


def test_a_link_to_a_removed_result_says_when_and_why(tmp_path: Path) -> None:
    results = LocalResults(
        tmp_path, b"k" * 32, 3600, SystemClock(), address=LinkAddress("", "example.org", 0)
    )

    def follow(execution_id: str) -> Path:
        url = urlsplit(str(results.sign(local_reference(execution_id, "n-1"), BASE).params["URL"]))
        assert url.netloc == "example.org:1234"
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        return results.resolve(url.path.rpartition("/")[2], query["expires"], query["signature"])

    archive = result_path(tmp_path, "e-1")
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"x")
    assert follow("e-1") == archive
    # It is noted that somebody reads it: retention leaves it alone for a while.
    assert archive.stat().st_atime_ns > SystemClock().now_ns() - 60 * SECOND
    archive.unlink()
    gone = [Removal("e-1", "2026-11-22T10:00:00.123Z", "local results may take 5 GB (some key)")]
    removals.note(results_directory(tmp_path), gone)
    with pytest.raises(NotFound) as caught:
        follow("e-1")
    assert caught.value.status == 410
    assert str(caught.value) == (
        "the results of execution e-1 were removed at 2026-11-22T10:00:00Z: local results may take 5 GB (some key)"
    )
    with pytest.raises(NotFound, match=r"there is no result e-2\.tar\.gz on this node") as caught:
        follow("e-2")
    assert caught.value.status == 404
