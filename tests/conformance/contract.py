"""The HTTP contract as data: every route with its parameters and its body, for tests that go through all of them.

``test_fuzz`` checks that each route which the API has is here. Kinds of values are the names of `VALUES`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bacalhau_jupyter.api.app import build_app
from bacalhau_jupyter.api.base import ApiServices

API = "/api/v1"
JOBS, NODES = f"{API}/orchestrator/jobs", f"{API}/orchestrator/nodes"
UPLOADS = f"{API}/orchestrator/uploads"
HOSTS = f"{API}/hosts"
IMAGES = f"{API}/compute/images"


@dataclass(frozen=True)
class Route:
    """One method and path, with the kinds of its path segments, query parameters and body members."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    weight: int = 1


_PAGE = {
    "namespace": "namespace",
    "limit": "number",
    "next_token": "token",
    "order_by": "order",
    "reverse": "flag",
}
_VERSION = {"job_version": "number", "all_job_versions": "flag"}

ROUTES = [
    Route("GET", "/"),
    Route("GET", "/version"),
    Route("GET", "/livez"),
    Route("GET", f"{API}/agent/alive", {"pretty": "text"}),
    Route("GET", f"{API}/agent/version"),
    Route("GET", f"{API}/agent/node"),
    Route("GET", f"{API}/agent/debug"),
    Route("GET", f"{API}/agent/config"),
    Route("GET", f"{API}/agent/authconfig"),
    Route("GET", f"{API}/agent/lease"),
    Route("GET", f"{API}/agent/offer"),
    Route("GET", f"{API}/agent/environments"),
    Route("POST", f"{API}/agent/environments", body="python", weight=2),
    Route("POST", f"{API}/agent/packages", body="python"),
    Route("PUT", f"{API}/agent/packages/{{text}}", body="python"),
    Route("DELETE", f"{API}/agent/packages/{{text}}"),
    Route("GET", f"{API}/cluster"),
    Route("POST", f"{API}/cluster/open", body="cluster", weight=2),
    Route("POST", f"{API}/cluster/close"),
    Route("GET", f"{API}/cluster/joined"),
    Route("POST", f"{API}/cluster/join", body="joining"),
    Route("POST", f"{API}/cluster/leave", body="joining"),
    Route("GET", HOSTS, weight=2),
    Route("POST", HOSTS, body="host", weight=3),
    Route("POST", f"{HOSTS}/test", body="host"),
    Route("GET", f"{HOSTS}/{{host}}"),
    *(Route("POST", f"{HOSTS}/{{host}}/{verb}") for verb in ("test", "pause", "resume", "retry")),
    Route("POST", f"{HOSTS}/{{host}}/remove", body="host_removal"),
    Route("POST", f"{HOSTS}/{{host}}/push", body="host_image"),
    Route("POST", f"{HOSTS}/{{host}}/push/stop"),
    Route("GET", f"{HOSTS}/{{host}}/progress"),
    Route("POST", f"{HOSTS}/{{host}}/clean", body="host_cleaning"),
    Route("GET", IMAGES),
    Route("DELETE", IMAGES),
    Route("POST", f"{IMAGES}/load", body="image_file"),
    Route("POST", f"{IMAGES}/remove", body="image"),
    Route("GET", f"{API}/auth"),
    Route("GET", f"{API}/auth/{{text}}"),
    Route("POST", f"{API}/auth/{{method}}", body="authn"),
    Route("PUT", JOBS, body="submit", weight=8),
    Route("POST", JOBS, body="submit", weight=2),
    Route("GET", JOBS, {**_PAGE, "labels": "selector"}, weight=4),
    Route("PUT", f"{JOBS}/diff", body="diff", weight=3),
    Route(
        "GET",
        f"{JOBS}/{{job}}",
        {"namespace": "namespace", "job_version": "number", "include": "include"},
        weight=3,
    ),
    Route("DELETE", f"{JOBS}/{{job}}", {"namespace": "namespace", "reason": "text"}, body="stop", weight=2),
    Route("DELETE", f"{JOBS}/{{job}}/record", {"namespace": "namespace"}),
    Route("PUT", f"{JOBS}/{{job}}/rerun", body="rerun", weight=3),
    Route(
        "GET",
        f"{JOBS}/{{job}}/history",
        {
            **_VERSION,
            "namespace": "namespace",
            "since": "number",
            "event_type": "event",
            "execution_id": "execution",
            "limit": "number",
            "next_token": "token",
        },
        weight=3,
    ),
    Route("GET", f"{JOBS}/{{job}}/executions", {**_PAGE, **_VERSION}, weight=3),
    Route("GET", f"{JOBS}/{{job}}/versions", {"namespace": "namespace"}, weight=2),
    Route("GET", f"{JOBS}/{{job}}/explanation", {"namespace": "namespace"}, weight=3),
    Route(
        "GET",
        f"{JOBS}/{{job}}/results",
        {"namespace": "namespace", "local": "flag", "job_version": "number"},
        weight=2,
    ),
    Route("GET", f"{JOBS}/{{job}}/results/files", {"namespace": "namespace"}),
    Route("GET", f"{JOBS}/{{job}}/results/files/{{execution}}/{{text}}", {"namespace": "namespace"}),
    Route(
        "GET",
        f"{JOBS}/{{job}}/logs",
        {**_VERSION, "namespace": "namespace", "execution_id": "execution", "tail": "flag", "follow": "flag"},
    ),
    Route("GET", f"{API}/orchestrator/events", {"since": "number", "job": "job", "topic": "text"}),
    Route(
        "GET",
        NODES,
        {
            "labels": "selector",
            "limit": "number",
            "order_by": "order",
            "reverse": "flag",
            "filter-approval": "approval",
            "filter-status": "status",
        },
        weight=2,
    ),
    Route("POST", NODES, body="node"),
    Route("GET", f"{NODES}/{{node}}"),
    Route("PUT", f"{NODES}/{{node}}", body="node"),
    Route("POST", f"{NODES}/{{node}}", body="node"),
    Route("POST", UPLOADS, body="upload", weight=3),
    Route("DELETE", UPLOADS),
    Route("GET", f"{UPLOADS}/{{text}}"),
    Route("PUT", f"{UPLOADS}/{{text}}", body="upload"),
    Route("DELETE", f"{UPLOADS}/{{text}}"),
    Route("POST", f"{UPLOADS}/{{text}}/complete"),
    Route(
        "GET", f"{UPLOADS}/content/{{text}}/{{text}}", {"expires": "number", "signature": "text"}, weight=2
    ),
    Route("HEAD", f"{UPLOADS}/content/{{text}}/{{text}}", {"expires": "number", "signature": "text"}),
    Route("GET", f"{API}/compute/results/{{text}}", {"expires": "number", "signature": "text"}, weight=2),
    Route(
        "PUT",
        f"{API}/compute/results/{{text}}",
        {"expires": "number", "signature": "text"},
        body="upload",
    ),
    Route("DELETE", f"{API}/compute/results", {"older_than": "number"}),
    Route("DELETE", f"{API}/compute/inputcache"),
    Route("DELETE", f"{API}/compute/packages"),
    Route("GET", f"{API}/compute/data", {"uri": "uri", "limit": "number", "next_token": "token"}, weight=2),
    Route("GET", f"{API}/{{text}}/{{text}}"),
]

HOSTILE_TEXT = [
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "\u202egnp",
    "\u200b",
    "\x1b[2J",
    "../..",
    "..",
    ".",
    "/",
    "%",
    "%zz",
    "%00",
    "\\",
    "'",
    '"',
    "'; DROP TABLE jobs;--",
    "*",
    "a" * 300,
    "ä" * 5000,
    "🙂",
    "\udc80",
    "\u2028",
    "${x}",
    "{{x}}",
    "-1",
    "true",
    "null",
    "[]",
    "a,b",
    "=",
    "j-",
    "e-",
    "n-",
    "J-",
    "a b",
    "+",
    "~",
    "\ufeff",
    "😀" * 300,
    "\u0661\u0662",
]

VALUES: dict[str, list[str]] = {
    "text": HOSTILE_TEXT,
    "method": ["clientkey", "clientkey", "ClientKey", "ask", *HOSTILE_TEXT[:6]],
    "namespace": ["", "default", "*", "other", *HOSTILE_TEXT],
    "number": [
        "0",
        "1",
        "2",
        "10",
        "",
        "-1",
        "1.5",
        "x",
        "1e3",
        "0x1",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "9" * 5000,
        " 1",
        "1_0",
        "\u0661",
        "+1",
    ],
    "flag": ["true", "false", "True", "F", "1", "0", "", "yes", "2", "\0"],
    "token": [
        "",
        "Ok46MTox",
        "Y3JlYXRlZF9hdDpZOjI6Mg",
        "====",
        "AAAA",
        "%",
        "Ojo6",
        "Ok46LTE6LTE",
        "Ok46OTk5OTk5OTk5OTk5OTk5OTk5OTk6MQ",
        "_-_-",
        "a" * 3000,
        "1",
        "-1",
        "99999999999999999999",
    ],
    "order": [
        "",
        "created_at",
        "modified_at",
        "create_time",
        "modify_time",
        "id",
        "name",
        "available_cpu",
        "status",
        "type",
        "approval",
        "created_at; --",
        "\0",
    ],
    "selector": [
        "a=b",
        "a==b",
        "a!=b",
        "a in (x,y)",
        "a notin (x,y)",
        "a",
        "!a",
        "a>1",
        "a<5",
        "a>x",
        "a in (",
        "a in ()",
        ",",
        "=",
        "!",
        "a=b,",
        "a=b=c",
        "(",
        "a in (x,y),b",
        "bacalhau_canary!=true",
        "a" * 4000,
        "a,b,c,d!=e",
        "\0",
        "a>99999999999999999999999999",
        "é=é",
        "((((((((((",
        "a notin",
    ],
    "include": ["", "history", "executions", "history,executions", "x,history", ",,,", "HISTORY", "\0"],
    "event": ["", "all", "job", "execution", "JobLevel", "x", "\0"],
    "approval": ["", "approved", "PENDING", "rejected", "x", "\0"],
    "status": ["", "connected", "DISCONNECTED", "x"],
    "uri": [
        "",
        "file://",
        "file:///",
        "file:///etc",
        "file:///etc/passwd",
        "file://%00",
        "file:///a%00b",
        "file://relative",
        "file:///" + "a" * 300,
        "file:///" + "a/" * 3000,
        "file:///proc/self/root",
        "file:///../..",
        "ftp://x",
        "x",
        "://",
        "file:",
        "file:///%ff%fe",
        "file:///{shared}",
        "file:///{shared}/" + "b" * 300,
        "file:///{shared}/%00",
    ],
    "execution": ["", "e-", "e-0", *HOSTILE_TEXT[:10]],
    "node": ["n-", "", *HOSTILE_TEXT],
    "host": ["fuzzed", "fuzzed", "nowhere", "test", *HOSTILE_TEXT],
    "job": ["nope", "j-", "j-0", "named", "named", *HOSTILE_TEXT],
}
"""Kind → values; those of jobs, executions, nodes and tokens that exist are mixed in by the fuzz."""

TASK: dict[str, Any] = {
    "Name": "main",
    "Engine": {"Type": "noop", "Params": {}},
    "Publisher": {"Type": ""},
    "Env": {"A": "b"},
    "Meta": {"a": "b"},
    "InputSources": [
        {"Source": {"Type": "inline", "Params": {"URL": "data:,x"}}, "Alias": "a", "Target": "/inputs"}
    ],
    "ResultPaths": [],
    "Resources": {"CPU": "10m", "Memory": "1mb", "Disk": "", "GPU": ""},
    "Network": {"Type": "None", "Domains": [], "Ports": []},
    "Timeouts": {"ExecutionTimeout": 0, "QueueTimeout": 0, "TotalTimeout": 0},
}
JOB: dict[str, Any] = {
    "ID": "",
    "Name": "",
    "Namespace": "",
    "Type": "batch",
    "Priority": 0,
    "Count": 1,
    "Constraints": [{"Key": "a", "Operator": "!=", "Values": ["b"]}],
    "Meta": {"m": "n"},
    "Labels": {"a": "b"},
    "Tasks": [TASK],
    "State": {"StateType": "Pending", "Message": "", "Details": {}},
    "Version": 0,
    "Revision": 0,
    "CreateTime": 0,
    "ModifyTime": 0,
}
BODIES: dict[str, dict[str, Any]] = {
    "submit": {"Namespace": "", "Credential": None, "IdempotencyToken": "", "Job": JOB, "Force": False},
    "diff": {"Job": {**JOB, "Name": "named"}},
    "stop": {"reason": "enough"},
    "rerun": {"JobVersion": 0, "Reason": "", "Namespace": ""},
    "node": {"Action": "approve", "Message": "", "NodeID": ""},
    "python": {
        "Executable": "/usr/bin/python3",
        "Prefixes": ["/usr", "/opt/venv"],
        "Paths": ["/proc/self/root"],
    },
    "joining": {"URL": "nats://127.0.0.1:1", "Token": "", "Authority": "", "Name": ""},
    "host": {
        "Name": "fuzzed",
        "URL": "unix:///nowhere/docker.sock",
        "Context": "",
        "TLS": None,
        "SSH": {"Options": {}, "Socket": "", "Through": ""},
        "Labels": {"room": "basement"},
        "Allocated": {"CPU": "90%", "Memory": "1Gi", "Disk": "", "GPU": "1"},
        "GPUs": [{"Index": 0, "Name": "A100", "Vendor": "NVIDIA", "Memory": 81920}],
        "Trust": "",
        "Insecure": False,
        "Paused": True,
        "Anyway": True,
    },
    "host_removal": {"Jobs": "leave"},
    "host_image": {"Image": "busybox"},
    "image_file": {"Path": "/tmp/none.tar"},
    "image": {"Image": "busybox"},
    "host_cleaning": {"Remove": ["n-gone"]},
    "cluster": {"Host": "127.0.0.1", "Port": 0, "Advertise": "", "Encrypt": False},
    "upload": {"Name": "x.bin", "Size": 3, "SHA256": "", "Local": False, "Fresh": True},
    "authn": {"Namespace": "", "Credential": None, "Name": "clientkey", "MethodData": "e30="},
}
WORDS = [
    "batch",
    "ops",
    "service",
    "daemon",
    "noop",
    "docker",
    "process",
    "wasm",
    "quantum",
    "named",
    "None",
    "Host",
    "HTTP",
    "Bridge",
    "approve",
    "reject",
    "delete",
    "500m",
    "1gb",
    "1e400",
    "-1",
    "NaN",
    "inf",
    "99999999999gb",
    "local",
    "s3",
    "ipfs",
    "s3managed",
    "urlDownload",
    "localDirectory",
    "inline",
    "data:,x",
    "data:;base64,%%%",
    "http://[",
    "http://127.0.0.1:1/",
    "exists",
    "in",
    "gt",
    "=",
    "env:HOME",
    "/etc",
    "/inputs",
    "Completed",
    "j-1",
    "BACALHAU_X",
]
"""Texts that mean something somewhere in a spec."""


class _Anything:
    def __getattr__(self, name: str) -> Any:
        return _Anything()

    def __call__(self, *_: Any) -> Any:
        return _Anything()

    def __str__(self) -> str:
        return ""

    replace = __call__


def all_routes_of_the_api() -> set[tuple[str, str]]:
    """Verb and declared path of every route that a node with all roles has."""
    anything: Any = _Anything()
    services = ApiServices(*[anything] * len(dataclasses.fields(ApiServices)))
    return {
        (route.method, route.resource.canonical)
        for route in build_app(services).router.routes()
        if route.resource is not None
    }
