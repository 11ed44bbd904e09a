"""What a node accepts: configurations, jobs, and what a node of ours and an official one say to each."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ACCEPTED = "accepted"
WAIT_S = 40.0
_DECIDED = ("Completed", "Failed", "Stopped", "Queued")
_HELD = (5, 6, 7, 9)  # a bid that was accepted, and what follows it


@dataclass(frozen=True)
class Case:
    """One job on a node with one configuration.

    Attributes
    ----------
    keys
        The node's configuration; ``{docs}`` in it is a directory of the node's machine.
    task
        Members of the task beside its engine.
    ours, official
        `ACCEPTED`, or the words that stand in the reason; one is enough where they are the same.
    """

    name: str
    keys: Mapping[str, str] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    ours: str = ACCEPTED
    official: str = ""

    @property
    def official_keys(self) -> dict[str, str]:
        """The configuration as the official program takes it."""
        keys = dict(self.keys)
        if "JobAdmissionControl.Locality" in keys:
            keys["JobAdmissionControl.Locality"] = "0"
        return keys

    @property
    def expected_officially(self) -> str:
        """What an official node says."""
        return self.official or self.ours


def source(kind: str, **params: Any) -> dict[str, Any]:
    return {"InputSources": [{"Source": {"Type": kind, "Params": params}, "Target": "/inputs"}]}


INLINE = source("inline", URL="data:text/plain,hello")
REMOTE = source("urlDownload", URL="http://127.0.0.1:9/data.csv")
LOCAL = source("localDirectory", SourcePath="{docs}")
STATELESS = {"JobAdmissionControl.RejectStatelessJobs": "true"}
NETWORKED = {"JobAdmissionControl.RejectNetworkedJobs": "true"}
NEAR = {"JobAdmissionControl.Locality": "local", "Compute.AllowListedLocalPaths": "{docs}"}
SMALL = {"Compute.AllocatedCapacity.CPU": "1", "Compute.AllocatedCapacity.Memory": "256Mb"}
FORWARDS = {"Compute.Env.AllowList": "APP_*"}
NEEDS_NETWORK = "this node does not run jobs that require network access"
BUSY = "node busy with available capacity {"
"""What an official node says of a job that is far too large: it looks at what is free first."""
NOT_ALLOWED = "is not in allowed patterns"


def cpu(amount: str) -> dict[str, Any]:
    return {"Resources": {"CPU": amount, "Memory": "100mb"}}


def network(kind: str, *domains: str) -> dict[str, Any]:
    return {"Network": {"Type": kind, **({"Domains": list(domains)} if domains else {})}}


CASES = (
    Case("a plain job"),
    Case("a variable of the host that is not listed", {}, {"Env": {"H": "env:HOME"}}, NOT_ALLOWED),
    Case("a variable of the host that is listed", FORWARDS, {"Env": {"X": "env:APP_X"}}),
    Case("one beside the list", FORWARDS, {"Env": {"X": "env:OTHER_X"}}, NOT_ALLOWED),
    Case(
        "one whose end is like the pattern",
        FORWARDS,
        {"Env": {"X": "env:MY_APP_X"}},
        NOT_ALLOWED,
        # The official pattern is a regular expression that may match anywhere.
        ACCEPTED,
    ),
    Case(
        "no input where stateless jobs are refused",
        STATELESS,
        {},
        "this node does not accept jobs without any input volumes",
    ),
    Case("an input where stateless jobs are refused", STATELESS, INLINE),
    Case("no network where networked jobs are refused", NETWORKED, network("None")),
    Case("the default network where networked jobs are refused", NETWORKED, network("Default")),
    Case("the host's network where networked jobs are refused", NETWORKED, network("Host"), NEEDS_NETWORK),
    Case("a bridge where networked jobs are refused", NETWORKED, network("Bridge"), NEEDS_NETWORK),
    Case(
        "a list of domains where networked jobs are refused",
        NETWORKED,
        network("HTTP", "example.com"),
        NEEDS_NETWORK,
    ),
    Case("content in the spec where inputs must be local", NEAR, INLINE),
    Case("a listed directory where inputs must be local", NEAR, LOCAL),
    Case(
        "a download where inputs must be local",
        NEAR,
        REMOTE,
        "this node does not have all input data locally (1 inputs require downloading)",
    ),
    Case("no input where inputs must be local", NEAR, {}),
    Case("all of the node's CPU", SMALL, cpu("1")),
    Case(
        "more than the node's CPU",
        SMALL,
        cpu("1.5"),
        "job requires more CPU (1.5) than the maximum available (1)",
    ),
    Case(
        "more than the node's memory",
        SMALL,
        {"Resources": {"CPU": "100m", "Memory": "512mb"}},
        "job requires more memory (512 MB) than the maximum available (256 MB)",
        BUSY,
    ),
    Case(
        "more than a share of the node's CPU",
        {"Compute.AllocatedCapacity.CPU": "25%"},
        cpu("900"),
        "job requires more CPU (900) than the maximum available (",
        BUSY,
    ),
    Case(
        "a publisher that is disabled",
        {"Publishers.Disabled": "local"},
        {"Publisher": {"Type": "local"}},
        "does not support local, only",
    ),
    Case(
        "a source that is disabled",
        {"InputSources.Disabled": "urlDownload"},
        REMOTE,
        "does not support urlDownload, only",
    ),
    Case(
        "an engine that is disabled",
        {"Engines.Disabled": "{engine}"},
        {},
        "does not support {engine}",
    ),
)
"""The jobs of one configuration share a node (`by_configuration`)."""


def by_configuration() -> list[list[Case]]:
    """Return the cases, those of one configuration together."""
    groups: dict[str, list[Case]] = {}
    for case in CASES:
        groups.setdefault(json.dumps(case.keys, sort_keys=True), []).append(case)
    return list(groups.values())


def title(cases: list[Case]) -> str:
    """Return what the cases of one configuration are called in a test's name."""
    return " ".join(sorted(key.rpartition(".")[2] for key in cases[0].keys)) or "defaults"


def agrees(said: str, expected: str) -> bool:
    """Whether a node said what was expected of it."""
    return said == ACCEPTED if expected == ACCEPTED else expected in said


def call(url: str, body: Any = None, key: str = "") -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, data, headers, method="GET" if body is None else "PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """Return a value with the ``{words}`` in its texts replaced."""
    text = json.dumps(value)
    for word, meaning in words.items():
        text = text.replace(f"{{{word}}}", meaning)
    return json.loads(text)


def verdict(base: str, engine: Mapping[str, Any], task: Mapping[str, Any], key: str = "") -> str:
    """Submit a job and return `ACCEPTED`, or all reasons that the cluster gives."""
    jobs = f"{base}/api/v1/orchestrator/jobs"
    main = {"Name": "main", "Engine": engine, "Resources": {"CPU": "100m", "Memory": "100mb"}, **task}
    main["Timeouts"] = {"QueueTimeout": 1, "TotalTimeout": 60}
    job = call(jobs, {"Job": {"Type": "batch", "Count": 1, "Tasks": [main]}}, key)["JobID"]
    deadline = time.monotonic() + WAIT_S
    while True:
        state = call(f"{jobs}/{job}", key=key)["Job"]["State"]
        ran = call(f"{jobs}/{job}/executions", key=key).get("Items") or []
        if any(item["ComputeState"]["StateType"] in _HELD for item in ran):
            return ACCEPTED
        if state["StateType"] in _DECIDED or time.monotonic() > deadline:
            reasons = [item["ComputeState"].get("Message", "") for item in ran]
            return "\n".join([*reasons, state.get("Message", "")])
        time.sleep(0.1)
