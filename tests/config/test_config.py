"""Where values come from, what they become, how they are shown."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.keys import KEYS
from bacalhau_jupyter.models.errors import ConfigurationError
from tests.models.samples import REST, load


def configured(*overrides: str, environ: dict[str, str] | None = None, **more: Any) -> Config:
    return Config.from_sources(
        overrides=overrides, environ={"BACALHAU_DIR": "/nonexistent"} | (environ or {}), **more
    )


def test_sources_win_in_the_official_order(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("api: {port: 1, host: a.example}\nOrchestrator: {Port: 1}\nNameProvider: uuid\n")
    second.write_text("API:\n  Port: 2\n")
    sources: dict[str, Any] = {"files": [first, second], "environ": {}}
    assert Config.from_sources(**sources)["API.Port"] == 2
    sources["environ"] = {"BACALHAU_API_PORT": "3", "BACALHAU_ORCHESTRATOR_PORT": "3"}
    assert Config.from_sources(**sources)["API.Port"] == 3
    sources["flags"] = {"API.Port": 4, "API.Host": None}
    assert Config.from_sources(**sources)["API.Port"] == 4
    config = Config.from_sources(**sources, overrides=["api.port=5"])
    assert config["API.Port"] == 5
    assert (config["API.Host"], config["Orchestrator.Port"], config["NameProvider"]) == (
        "a.example",
        3,
        "uuid",
    )
    assert config.source("API.Port") == "-c"
    assert config.source("API.Host") == str(first)
    assert config.source("Orchestrator.Port") == "BACALHAU_ORCHESTRATOR_PORT"
    assert config.source("Compute.Enabled") == "default"


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("API.Port=21234", 21234),
        ("compute.enabled", True),
        ("Compute.Enabled=FALSE", False),
        ("Compute.Enabled=1", True),
        ("Orchestrator.NodeManager.DisconnectTimeout=1h30m", 5400.0),
        ("UpdateConfig.Interval=0", 0.0),
        ("Compute.AllowListedLocalPaths=/a/*:ro, /b c/**", ["/a/*:ro", "/b c/**"]),
        ("Compute.AllowListedLocalPaths=[/a, /b]", ["/a", "/b"]),
        ("Compute.Env.AllowList=", []),
        ("Labels=zone=eu,tier=a=b", {"zone": "eu", "tier": "a=b"}),
        ('Labels={"zone": "eu"}', {"zone": "eu"}),
        ("Compute.AllocatedCapacity.CPU=2", "2"),
        ("Compute.LogLimit=512mb", 512 * 10**6),
        ("Logging.Level=DEBUG", "debug"),
        ("JobAdmissionControl.Locality=Local", "local"),
        (
            "API.Auth.Methods={ask: {Type: ask, PolicyPath: /p.rego}}",
            {"ask": {"Type": "ask", "PolicyPath": "/p.rego"}},
        ),
        ('API.Auth.Users=[{"Alias": "a", "APIKey": "k"}]', [{"Alias": "a", "APIKey": "k"}]),
    ],
)
def test_values_are_read_from_text(override: str, value: Any) -> None:
    name = override.partition("=")[0]
    assert configured(override)[name] == value


def test_a_later_override_wins() -> None:
    assert configured("API.Port=1", "api.port=2")["API.Port"] == 2


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("API.Prot=1", "there is no config key API.Prot"),
        ("API.Port=abc", "-c: API.Port must be a port number, not 'abc'"),
        ("API.Port=70000", "API.Port must be a port number"),
        ("API.Port", "-c API.Port needs a value"),
        ("Compute.Enabled=maybe", "must be true or false"),
        ("Compute.Heartbeat.Interval=15", "must be a duration such as 30s"),
        ("Compute.LogLimit=lots", "must be a size"),
        ("NameProvider=magic", "NameProvider must be one of hostname, aws, gcp, uuid, puuid, not 'magic'"),
        ("Compute.Env.AllowList=a,,b", "comma-separated list"),
        ("API.Auth.Users=[oops", "list of mappings"),
        ("API.Auth.Users=[1]", "list of mappings"),
        ("Labels=[a]", "list of key=value"),
        ("DataDir=", "data dir path is empty"),
        ("DataDir=$HOME/x", "contains a '$' character"),
        ("=5", "there is no config key (empty)"),
        ("nothing.yaml", "doesn't exist"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(override: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configured(override)
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message


def test_the_closest_key_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        configured("API.Prot=1")
    assert caught.value.hint == "Did you mean API.Port?"


@pytest.mark.parametrize("records", ["[{Password: hunter2}", "{Password: hunter2}", "[hunter2]"])
def test_users_that_cannot_be_read_are_not_shown(records: str) -> None:
    with pytest.raises(ConfigurationError, match=r"API\.Auth\.Users must be a list of mappings") as caught:
        configured(f"API.Auth.Users={records}")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_is_not_yaml_is_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("API:\n  Auth: {Users: [{Password: hunter2]}\n")
    with pytest.raises(ConfigurationError, match="line 2") as caught:
        Config.from_sources(files=[file], environ={})
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_members_of_users_that_are_not_known_are_masked() -> None:
    wire = configured("API.Auth.Users=[{username: u, passwort: hunter2}]").to_wire()
    assert wire["API"]["Auth"]["Users"] == [{"Username": "u", "passwort": "********"}]


def test_a_wrong_secret_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config.from_sources(environ={}, flags={"Orchestrator.Auth.Token": ["hunter2"]})
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("API: {Prot: 1}", "there is no config key API.Prot"),
        ("API: 5", "API is a section"),
        ("[1, 2]", "must hold keys and values"),
        ("a: [", "is not YAML"),
        ("API: {Port: yes}", "API.Port must be a port number"),
        ("Compute: {Heartbeat: {Interval: 15}}", "must be a duration"),
        ("\x00", "is not YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        Config.from_sources(files=[path], environ={})
    assert sentence in caught.value.message
    assert str(path) in caught.value.message


def test_files_may_be_empty_use_dotted_names_and_empty_sections(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "API.Port: 7\nFeatureFlags: {}\nCompute:\nEngines: {Types: {WASM: {}}}\nAPI: {Host: null}\n"
    )
    config = Config.from_sources(files=[path], environ={})
    assert (config["API.Port"], config["API.Host"]) == (7, "127.0.0.1")
    path.write_text("")
    assert Config.from_sources(files=[path], environ={})["API.Port"] == 1234


def test_config_yaml_of_the_data_directory_is_read_unless_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("API: {Port: 9}\n")
    other = tmp_path / "other.yaml"
    other.write_text("Compute: {Enabled: true}\n")
    for config in (
        Config.from_sources(environ={"BACALHAU_DIR": str(tmp_path)}),
        Config.from_sources(environ={}, flags={"DataDir": str(tmp_path)}),
        Config.from_sources(environ={}, overrides=[f"DataDir={tmp_path}"]),
    ):
        assert config["API.Port"] == 9
        assert config.data_dir == tmp_path
    named = Config.from_sources(environ={"BACALHAU_DIR": str(tmp_path)}, overrides=[str(other)])
    assert (named["API.Port"], named["Compute.Enabled"]) == (1234, True)


def test_the_data_directory_is_always_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert Config.from_sources(environ={}, overrides=["DataDir=rel/dir"])["DataDir"] == str(
        tmp_path / "rel/dir"
    )
    assert Config()["DataDir"] == "/home/someone/.bacalhau"


def test_a_server_ignores_the_address_of_another_jupyter_servers_node() -> None:
    environ = {
        "BACALHAU_JUPYTER_NODE": "/home/someone/.bacalhau",
        "BACALHAU_API_HOST": "10.0.0.9",
        "BACALHAU_API_PORT": "5555",
        "BACALHAU_COMPUTE_ENABLED": "true",
    }
    client, server = configured(environ=environ), configured(environ=environ, server=True)
    assert (client["API.Host"], client["API.Port"]) == ("10.0.0.9", 5555)
    assert (server["API.Host"], server["API.Port"]) == ("127.0.0.1", 1234)
    assert server["Compute.Enabled"] is True
    del environ["BACALHAU_JUPYTER_NODE"]
    assert configured(environ=environ, server=True)["API.Port"] == 5555


def test_unknown_keys_are_refused_when_read_too() -> None:
    with pytest.raises(ConfigurationError, match=r"no config key API\.Prot"):
        Config()["API.Prot"]


def test_get_gives_the_fallback_only_where_nothing_is_set() -> None:
    config = configured("API.Port=5")
    assert config.get("API.Port", 9) == 5
    assert config.get("Orchestrator.Port", 9) == 9
    assert config.get("Orchestrator.Port") == 4222


def test_replacing_values_leaves_the_rest() -> None:
    config = configured("API.Port=5", "Labels=a=b").replace({"api.port": 6, "Node.GracePeriod": 0.5})
    assert (config["API.Port"], config["Labels"], config["Node.GracePeriod"]) == (6, {"a": "b"}, 0.5)
    assert config.source("Labels") == "-c"


def test_nobody_can_change_a_config_through_a_value() -> None:
    config = Config()
    config["API.Auth.Methods"]["evil"] = {}
    config["Compute.Orchestrators"].append("nats://evil")
    assert config["API.Auth.Methods"] == {"ClientKey": {"Type": "challenge"}}
    assert Config()["Compute.Orchestrators"] == ["nats://127.0.0.1:4222"]


def test_the_wire_form_is_the_official_one_plus_our_keys() -> None:
    official = load(REST / "agent_config.json")["config"]
    overrides = [
        "API.Port=21234",
        "Orchestrator.Host=127.0.0.1",
        "Orchestrator.Port=24222",
        "Orchestrator.Enabled",
        "Orchestrator.Scheduler.WorkerCount=2",
        "Compute.Enabled",
        "Compute.Orchestrators=nats://127.0.0.1:24222",
        "WebUI.Enabled",
        "WebUI.Listen=127.0.0.1:28438",
        "Publishers.Types.Local.Port=26001",
        "UpdateConfig.Interval=0",
        "DisableAnalytics",
        "DataDir=/data",
    ]
    ours = configured(*overrides).to_wire()
    for key in KEYS.values():
        if key.ours:
            remove(ours, key.name.split("."))
    assert ours == official


def remove(tree: dict[str, Any], path: list[str]) -> None:
    """Take a leaf out of a tree, and the sections that it leaves empty and upstream doesn't have."""
    head, *rest = path
    if not rest:
        del tree[head]
        return
    remove(tree[head], rest)
    if not tree[head] and ".".join(path) in {key.name for key in KEYS.values()} | {path[0]}:
        del tree[head]
    for section in ("Docker", "Process", "InputCache", "Quotas", "Audit"):
        if tree.get(section) == {}:
            del tree[section]
    for kind in ("Daemon", "Service"):
        if "JobDefaults" in tree and tree["JobDefaults"][kind]["Task"].get("Timeouts") == {}:
            del tree["JobDefaults"][kind]["Task"]["Timeouts"]


def test_secrets_are_masked() -> None:
    wire = configured(
        "Orchestrator.Auth.Token=hunter2",
        "Compute.Auth.Token=hunter2",
        "API.Auth.Users=[{Alias: a, Username: u, Password: hunter2, APIKey: hunter2}, {Alias: b, APIKey: ''}]",
    ).to_wire()
    assert "hunter2" not in str(wire)
    assert wire["Orchestrator"]["Auth"] == {"Token": "********"}
    users = wire["API"]["Auth"]["Users"]
    assert users[0] == {"Alias": "a", "Username": "u", "Password": "********", "APIKey": "********"}
    assert users[1] == {"Alias": "b"}


def test_a_switched_off_key_of_ours_is_shown() -> None:
    assert configured("API.TrustLocalUser=false").to_wire()["API"]["TrustLocalUser"] is False


def test_job_defaults_come_per_type_in_seconds() -> None:
    defaults = configured(
        "JobDefaults.Batch.Task.Timeouts.QueueTimeout=24h", "JobDefaults.Batch.Task.Publisher.Type=local"
    ).job_defaults()
    assert set(defaults) == {"batch", "ops", "daemon", "service"}
    task = defaults["batch"]["Task"]
    assert task["Timeouts"] == {"TotalTimeout": 0, "ExecutionTimeout": 0, "QueueTimeout": 86400}
    assert task["Resources"] == {"CPU": "500m", "Memory": "512Mb", "Disk": "", "GPU": ""}
    assert task["Publisher"] == {"Type": "local", "Params": {}}


def test_a_section_is_a_tree_of_values() -> None:
    assert configured("compute.allocatedcapacity.gpu=1").section("Compute.AllocatedCapacity") == {
        "CPU": "80%",
        "Memory": "80%",
        "Disk": "80%",
        "GPU": "1",
    }
    with pytest.raises(ConfigurationError, match="no config section Nope"):
        Config().section("Nope")


@given(st.sampled_from(sorted(KEYS)), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_any_text_is_a_value_or_refused(name: str, text: str) -> None:
    try:
        config = configured(f"{name}={text}")
    except ConfigurationError as error:
        assert error.message
    else:
        config.to_wire()


@pytest.mark.parametrize(
    ("variables", "mode"),
    [
        ({"LOG_TYPE": "JSON"}, "json"),
        ({"LOG_TYPE": "combined"}, "combined"),
        ({"LOG_TYPE": "json", "BACALHAU_LOGGING_MODE": "default"}, "default"),
        ({"LOG_TYPE": "event"}, "default"),
    ],
)
def test_the_documented_name_of_the_log_form_counts_unless_the_keys_own_is_set(
    variables: dict[str, str], mode: str, tmp_path: Path
) -> None:
    config = Config.from_sources(environ={**variables, "BACALHAU_DIR": str(tmp_path)})
    assert config["Logging.Mode"] == mode


@pytest.mark.parametrize(
    ("variables", "level", "source"),
    [
        ({"LOG_LEVEL": "DEBUG"}, "debug", "LOG_LEVEL"),
        ({"LOG_LEVEL": "debug", "BACALHAU_LOGGING_LEVEL": "warn"}, "warn", "BACALHAU_LOGGING_LEVEL"),
        ({"LOG_LEVEL": "CRITICAL"}, "info", "default"),
    ],
)
def test_the_common_name_of_the_log_level_counts_unless_the_keys_own_is_set(
    variables: dict[str, str], level: str, source: str, tmp_path: Path
) -> None:
    config = Config.from_sources(environ={**variables, "BACALHAU_DIR": str(tmp_path)})
    assert (config["Logging.Level"], config.source("Logging.Level")) == (level, source)
