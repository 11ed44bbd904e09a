"""Files that are renewed while they are served."""

from __future__ import annotations

import asyncio
import datetime
import logging
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.tls import certificates
from bacalhau_jupyter.tls.certificates import ServedCertificates
from bacalhau_jupyter.tls.own_ca import LEAF_DAYS, OwnAuthority
from bacalhau_jupyter.tls.pairs import Pair
from tests.clock import ManualClock
from tests.services.waiting import until
from tests.tls.files import LOCAL, expired_pair, write_pair


class Files:
    """Files that somebody else renews."""

    def __init__(self, pair: Pair) -> None:
        self.files = pair

    def pair(self) -> Pair:
        return self.files


async def started(pair: Pair) -> ServedCertificates:
    served = ServedCertificates(Files(pair), SystemClock())
    await served.start()
    return served


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_renewed_files_are_taken_up_and_unchanged_ones_left_alone(tmp_path: Path) -> None:
    served = await started(write_pair(tmp_path))
    first = served.context("", "127.0.0.1")
    await served.look()
    assert served.context("", "127.0.0.1") is first
    write_pair(tmp_path)
    await served.look()
    assert served.context("", "127.0.0.1") not in (None, first)


async def test_a_link_that_leads_elsewhere_is_a_renewal(tmp_path: Path) -> None:
    # As certbot and Kubernetes renew.
    first, second = write_pair(tmp_path / "1"), write_pair(tmp_path / "2")
    live = tmp_path / "live"
    live.symlink_to("1")
    served = await started(Pair(live / first.certificate.name, live / first.key.name))
    before = served.context("", "127.0.0.1")
    live.unlink()
    live.symlink_to("2")
    assert second.key.exists()
    await served.look()
    assert served.context("", "127.0.0.1") is not before


async def test_a_broken_pair_keeps_the_old_one_with_one_warning_per_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = write_pair(tmp_path)
    served = await started(pair)
    first = served.context("", "127.0.0.1")
    key = pair.key.read_bytes()
    pair.key.write_text("no key")
    await served.look()
    assert warned(caplog) == [], "the files may be in the middle of their replacement"
    for _ in range(3):
        await served.look()
    assert len(warned(caplog)) == 1
    assert "holds no private key" in warned(caplog)[0]
    pair.certificate.unlink()
    for _ in range(3):
        await served.look()
    assert len(warned(caplog)) == 2
    assert served.context("", "127.0.0.1") is first
    write_pair(tmp_path)
    assert pair.key.read_bytes() != key
    await served.look()
    assert served.context("", "127.0.0.1") is not first
    assert len(warned(caplog)) == 2


async def test_who_asks_for_a_look_hears_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pair = write_pair(tmp_path)
    served = await started(pair)
    pair.key.chmod(0o644)
    await served.look(is_asked=True)
    assert len(warned(caplog)) == 1
    assert "can be read by other users" in warned(caplog)[0]
    pair.key.chmod(0o600)
    await served.look(is_asked=True)
    assert len(warned(caplog)) == 1


async def test_files_are_looked_at_by_themselves_and_at_once_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await started(write_pair(tmp_path))
    for interval_s, asks in ((3600.0, True), (0.01, False)):
        monkeypatch.setattr(certificates, "LOOK_S", interval_s)
        watching = asyncio.create_task(served.watch())
        before = served.context("", "127.0.0.1")
        write_pair(tmp_path)
        if asks:
            served.reload()
        await until(lambda: served.context("", "127.0.0.1") is not before)  # noqa: B023
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_a_certificate_that_can_t_be_served_stops_the_start(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    pair.key.unlink()
    with pytest.raises(ConfigurationError, match=r"API\.TLS\.KeyFile"):
        await started(pair)


async def test_an_expired_certificate_is_served_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = await started(expired_pair(tmp_path))
    assert served.context("", "127.0.0.1") is not None
    await served.look()
    assert len(warned(caplog)) == 1
    assert "has expired" in warned(caplog)[0]


async def test_a_certificate_that_expires_while_it_is_served_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    clock = ManualClock(int(now.timestamp()) * 10**9)
    served = ServedCertificates(Files(write_pair(tmp_path, ends=now + datetime.timedelta(days=2))), clock)
    await served.start()
    assert warned(caplog) == []
    clock.advance(3 * 86400)
    await served.look()
    assert "has expired" in warned(caplog)[0]


async def test_the_node_s_own_certificate_is_renewed_while_it_is_served(tmp_path: Path) -> None:
    clock = ManualClock()
    served = ServedCertificates(OwnAuthority(tmp_path / "tls", LOCAL, "n-test", clock), clock)
    await served.start()
    first = served.context("", "127.0.0.1")
    await served.look()
    assert served.context("", "127.0.0.1") is first
    clock.advance(LEAF_DAYS * 86400 * 0.7)
    await served.look()
    assert served.context("", "127.0.0.1") is not first
