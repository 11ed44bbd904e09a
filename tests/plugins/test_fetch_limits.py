"""The settings that every source which fetches keeps to."""

from datetime import timedelta
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.plugins.fetch_limits import MAX_RETRY_COUNT, READ_TIMEOUT, FetchLimits
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.source import Source
from bacalhau_jupyter.sources.ipfs import IpfsSource
from bacalhau_jupyter.sources.s3 import S3Source
from bacalhau_jupyter.sources.url import UrlDownloadSource


def limits(**values: Any) -> FetchLimits:
    keys = {READ_TIMEOUT: values.get("read_timeout"), MAX_RETRY_COUNT: values.get("max_retries")}
    return FetchLimits.of(keys.get, "Test")


def test_what_is_not_set_has_its_default() -> None:
    assert limits() == FetchLimits(300.0, 3)


@pytest.mark.parametrize("value", [90, 90.0, "90s", "1m30s", timedelta(seconds=90)])
def test_a_time_out_is_seconds_or_a_duration_as_go_writes_it(value: object) -> None:
    assert limits(read_timeout=value, max_retries="7") == FetchLimits(90.0, 7)


@pytest.mark.parametrize("value", ["5 minutes", 0, "-5m", []])
def test_a_time_out_that_is_not_a_duration_is_an_error(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"ReadTimeout is not a duration"):
        limits(read_timeout=value)


@pytest.mark.parametrize("value", [-1, "many", []])
def test_a_retry_count_that_is_not_a_count_is_an_error(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"MaxRetryCount is not a count"):
        limits(max_retries=value)


@pytest.mark.parametrize("make", [IpfsSource, S3Source, UrlDownloadSource])
async def test_every_source_that_fetches_names_a_wrong_setting(make: Any, tmp_path: Any) -> None:
    settings = {READ_TIMEOUT: "soon", "InputSources.Types.IPFS.Endpoint": "/ip4/127.0.0.1/tcp/5001"}
    source: Source = make(PluginOptions("n-1", tmp_path, settings=settings.get))
    answer = await source.probe()
    assert not answer.available
    assert "InputSources.ReadTimeout is not a duration: 'soon'" in answer.problem
