"""Quotas in the configuration: what is read, and what a node does not start with."""

from __future__ import annotations

from typing import Any

import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.quotas import quotas_of
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.records.quotas import Quota
from bacalhau_jupyter.node.settings import check

DEFAULT, PRINCIPALS = "API.Quotas.Default", "API.Quotas.Principals"


def test_the_default_is_for_everybody_but_the_owner() -> None:
    quotas = quotas_of(
        Config({DEFAULT: {"jobs": 2, "CPU": "500m", "memory": "1gb", "GPU": 1, "Uploads": "2Gi"}})
    )
    everything = Quota(jobs=2, cpu=0.5, memory=10**9, gpu=1, uploads=2 << 30)
    assert quotas.of("user:ada") == quotas.of("sso:x") == everything
    assert quotas.of("owner") == quotas.of("") == Quota()


def test_an_entry_says_what_differs_from_the_default() -> None:
    records = [{"Name": "User:Ada", "Jobs": 9, "GPU": "unlimited"}, {"Name": "key:ci", "Uploads": 0}]
    quotas = quotas_of(Config({DEFAULT: {"Jobs": 2, "GPU": 1}, PRINCIPALS: records}))
    assert quotas.of("user:ADA") == Quota(jobs=9)
    assert quotas.of("key:ci") == Quota(jobs=2, gpu=1, uploads=0)


def test_nothing_is_limited_unless_asked() -> None:
    assert not quotas_of(Config()).limit_jobs


def test_a_variable_sets_them() -> None:
    config = Config.from_sources(
        environ={"BACALHAU_DIR": "/nonexistent"} | {"BACALHAU_API_QUOTAS_DEFAULT": "{Jobs: 3, CPU: 1.5}"}
    )
    assert quotas_of(config).of("user:ada") == Quota(jobs=3, cpu=1.5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({DEFAULT: {"Job": 2}}, "API.Quotas.Default: Job is not a part of a quota"),
        ({DEFAULT: {"Jobs": -1}}, "API.Quotas.Default: Jobs can't be -1"),
        ({DEFAULT: {"Jobs": True}}, "Jobs can't be True"),
        ({DEFAULT: {"Jobs": None}}, "Jobs can't be None"),
        ({DEFAULT: {"CPU": "lots"}}, "CPU can't be 'lots'"),
        ({DEFAULT: {"Memory": "1xb"}}, "Memory can't be '1xb'"),
        ({DEFAULT: {"GPU": [1]}}, r"GPU can't be \[1\]"),
        ({PRINCIPALS: [{"Jobs": 1}]}, "entry 1: it has no Name"),
        ({PRINCIPALS: [{"Name": "owner", "Jobs": 1}]}, "the owner of the node has no quota"),
        ({PRINCIPALS: [{"Name": "key:a"}, {"name": "KEY:A"}]}, "entry 2: key:a has a quota already"),
    ],
)
def test_a_node_does_not_start_with_a_quota_that_it_can_not_read(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check(Config({"Orchestrator.Enabled": True, "Compute.Enabled": True, **values}))


USERS = [
    {"Username": "ada", "Password": "0123456789", "Capabilities": [{"Actions": ["*"]}]},
    {"Alias": "ci", "APIKey": "k" * 20, "Capabilities": [{"Actions": ["write:job"]}]},
]
NODE = {"Orchestrator.Enabled": True, "Compute.Enabled": True, "API.Auth.Users": USERS}


def test_a_quota_for_a_user_who_is_not_configured_is_a_slip() -> None:
    check(Config({**NODE, PRINCIPALS: [{"Name": "user:Ada"}, {"Name": "key:ci"}, {"Name": "sso:anybody"}]}))
    with pytest.raises(ConfigurationError, match="names user:adda, and") as caught:
        check(Config({**NODE, PRINCIPALS: [{"Name": "user:adda", "Jobs": 1}]}))
    assert caught.value.hint == "it has key:ci, user:ada"


def test_a_quota_that_limits_nobody_is_told(caplog: pytest.LogCaptureFixture) -> None:
    check(Config({"Orchestrator.Enabled": True, "Compute.Enabled": True, DEFAULT: {"Jobs": 1}}))
    assert "API.Quotas limits nobody" in caplog.text
