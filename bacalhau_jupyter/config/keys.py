"""Every config key: its official name, kind, default and meaning. Keys of ours are marked ``ours``."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Kind(enum.Enum):
    """What a value is, and what Python gets to see."""

    TEXT = "text"
    FLAG = "true or false"
    INTEGER = "whole number"
    PORT = "port number"
    DURATION = "duration such as 30s or 1h30m"  # seconds, float
    SIZE = "size such as 512mb or 1Gi"  # bytes, int
    LIST = "comma-separated list"  # list[str]
    MAP = "list of key=value"  # dict[str, str]
    TREE = "mapping (JSON or YAML)"  # dict[str, Any]
    RECORDS = "list of mappings (JSON or YAML)"  # list[dict[str, Any]]


@dataclass(frozen=True)
class Key:
    """One config key.

    Attributes
    ----------
    choices
        The only values allowed (compared without case); empty means any.
    secret
        Whether the value is masked when shown.
    ours
        Whether official Bacalhau does not know this key.
    """

    name: str
    kind: Kind
    default: Any
    meaning: str
    choices: tuple[str, ...] = ()
    secret: bool = False
    ours: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that sets this key."""
        return "BACALHAU_" + self.name.upper().replace(".", "_")


_ZERO: dict[Kind, Callable[[], Any]] = {
    Kind.TEXT: str, Kind.FLAG: bool, Kind.INTEGER: int, Kind.PORT: int, Kind.DURATION: float, Kind.SIZE: int,
    Kind.LIST: list, Kind.MAP: dict, Kind.TREE: dict, Kind.RECORDS: list,
}  # fmt: skip
_MINUTE, _HOUR = 60.0, 3600.0
KEYS: dict[str, Key] = {}
"""Exact key name → key, in the order of the official configuration."""


def find_key(name: str) -> Key | None:
    """Return the key of that name, ignoring case."""
    return _FOLDED.get(name.lower())


def zero(kind: Kind) -> Any:
    """Return the empty value of a kind."""
    return _ZERO[kind]()


def _add(prefix: str, *rows: tuple[Any, ...], ours: bool = False, secret: bool = False) -> None:
    """Add keys; a row is name, kind, default (None = empty), meaning and, rarely, choices."""
    for name, kind, default, meaning, *choices in rows:
        full = f"{prefix}.{name}" if prefix else name
        value = zero(kind) if default is None else default
        KEYS[full] = Key(full, kind, value, meaning, tuple(choices), secret, ours)


T, F, I, P, D, S = Kind.TEXT, Kind.FLAG, Kind.INTEGER, Kind.PORT, Kind.DURATION, Kind.SIZE  # noqa: E741
L, M, TREE, RECORDS = Kind.LIST, Kind.MAP, Kind.TREE, Kind.RECORDS

_add(
    "API",
    (
        "Host",
        T,
        "127.0.0.1",
        "Address the API listens on (upstream: 0.0.0.0; opening it is your choice here)",
    ),
    ("Port", P, 1234, "Port the API listens on; an embedded node takes another one when it is in use"),
    ("TLS.CertFile", T, None, "Server certificate"),
    ("TLS.KeyFile", T, None, "Key of the server certificate"),
    ("TLS.CAFile", T, None, "Certificate authority that clients trust"),
    ("TLS.UseTLS", F, False, "Whether clients speak HTTPS"),
    ("TLS.Insecure", F, False, "Whether clients skip the check of the server's certificate"),
    ("TLS.SelfSigned", F, False, "Whether the server makes its own certificate"),
    ("TLS.AutoCert", T, None, "Domain to get an ACME certificate for"),
    ("TLS.AutoCertCachePath", T, None, "Directory that keeps ACME certificates"),
    ("Auth.AccessPolicyPath", T, None, "Rego policy asked for every request"),
    ("Auth.Methods", TREE, {"ClientKey": {"Type": "challenge"}}, "Login methods: name → Type, PolicyPath"),
    ("Auth.Users", RECORDS, None, "Users: Alias, Username, Password, APIKey, Capabilities"),
    ("Auth.Oauth2.ProviderID", T, None, "Identity provider"),
    ("Auth.Oauth2.ProviderName", T, None, "Name of the identity provider for people"),
    ("Auth.Oauth2.TokenEndpoint", T, None, "URL that hands out tokens"),
    ("Auth.Oauth2.JWKSUri", T, None, "URL of the provider's public keys"),
    ("Auth.Oauth2.Issuer", T, None, "Issuer that tokens must name"),
    ("Auth.Oauth2.DeviceClientID", T, None, "Client ID of the device flow"),
    ("Auth.Oauth2.Audience", T, None, "Audience that tokens must name"),
    ("Auth.Oauth2.Scopes", L, None, "Scopes to ask for"),
    ("Auth.Oauth2.DeviceAuthorizationEndpoint", T, None, "URL that starts the device flow"),
    ("Auth.Oauth2.PollingInterval", I, 0, "Seconds between polls of the device flow"),
)
_add(
    "",
    (
        "NameProvider",
        T,
        "puuid",
        "Where the node's name comes from",
        "hostname",
        "aws",
        "gcp",
        "uuid",
        "puuid",
    ),
    ("DataDir", T, "~/.bacalhau", "Directory of all state"),
    ("StrictVersionMatch", F, False, "Accepted and ignored, as upstream does"),
)
_add(
    "Orchestrator",
    ("Enabled", F, False, "Whether this node places jobs"),
    ("Host", T, "0.0.0.0", "Address compute nodes connect to"),
    ("Port", P, 4222, "Port compute nodes connect to"),
    ("Advertise", T, None, "Address told to other servers"),
    ("TLS.ServerKey", T, None, "Key of the node-link certificate"),
    ("TLS.ServerCert", T, None, "Node-link certificate"),
    ("TLS.ServerTimeout", I, 0, "Seconds a TLS handshake may take"),
    ("TLS.CACert", T, None, "Certificate authority of the node link"),
    ("Cluster.Name", T, None, "Name of the orchestrator cluster"),
    ("Cluster.Host", T, None, "Address of the cluster link"),
    ("Cluster.Port", P, 0, "Port of the cluster link"),
    ("Cluster.Advertise", T, None, "Address told to cluster members"),
    ("Cluster.Peers", L, None, "Other cluster members"),
    ("NodeManager.DisconnectTimeout", D, _MINUTE, "A node silent for so long is disconnected"),
    ("NodeManager.ManualApproval", F, False, "Whether a new node waits for approval before it gets jobs"),
    ("Scheduler.WorkerCount", I, os.cpu_count() or 1, "Evaluations handled at a time"),
    ("Scheduler.QueueBackoff", D, _MINUTE, "How often a queued job is looked at when nothing else happens"),
    ("Scheduler.HousekeepingInterval", D, 30.0, "How often time-outs are looked for"),
    (
        "Scheduler.HousekeepingTimeout",
        D,
        2 * _MINUTE,
        "Grace before the orchestrator times out an execution itself",
    ),
    ("EvaluationBroker.VisibilityTimeout", D, _MINUTE, "How long a worker may hold an evaluation"),
    ("EvaluationBroker.MaxRetryCount", I, 10, "How often an evaluation is tried"),
    ("SupportReverseProxy", F, False, "Whether a TLS proxy stands before the node link"),
)
_add("Orchestrator", ("Auth.Token", T, None, "Secret that compute nodes must present"), secret=True)
_add(
    "Compute",
    ("Enabled", F, False, "Whether this node runs jobs"),
    ("Orchestrators", L, ["nats://127.0.0.1:4222"], "Orchestrators to join"),
    ("Network.AdvertisedAddress", T, None, "Address told to other nodes"),
    ("Network.PortRangeStart", P, 20000, "First port given to jobs"),
    ("Network.PortRangeEnd", P, 32000, "Last port given to jobs"),
    ("Heartbeat.InfoUpdateInterval", D, _MINUTE, "How often a changed node description is sent"),
    ("Heartbeat.ResourceUpdateInterval", D, 0.0, "Deprecated upstream; ignored"),
    ("Heartbeat.Interval", D, 15.0, "How often a sign of life is sent"),
    ("AllocatedCapacity.CPU", T, "80%", "CPU for jobs: a share or an amount (500m)"),
    ("AllocatedCapacity.Memory", T, "80%", "Memory for jobs: a share or an amount (4Gi)"),
    ("AllocatedCapacity.Disk", T, "80%", "Disk for jobs: a share or an amount (100gb)"),
    ("AllocatedCapacity.GPU", T, "100%", "GPUs for jobs: a share or a number"),
    ("AllowListedLocalPaths", L, None, "Host paths jobs may mount: glob[:ro|:rw]"),
    ("TLS.CACert", T, None, "Certificate authority of the node link"),
    ("TLS.RequireTLS", F, False, "Whether the node link must be encrypted"),
    ("Env.AllowList", L, None, "Host variables jobs may read (anchored globs)"),
)
_add("Compute", ("Auth.Token", T, None, "Secret presented to the orchestrator"), secret=True)
_add(
    "Compute", ("LogLimit", S, 1_000_000_000, "Bytes of stdout and of stderr kept per execution"), ours=True
)  # fmt: skip
_add(
    "Compute",
    (
        "InputCache.Size",
        S,
        10_000_000_000,
        "Bytes of inputs kept for the next job that wants the same; 0: none",
    ),
    ("InputCache.MinFree", S, 2_000_000_000, "Bytes of disk that kept inputs leave free"),
    ours=True,
)
_add(
    "Compute",
    (
        "AllowListedAddresses",
        L,
        None,
        "Hosts, host:port or networks of this machine that jobs' URLs and S3 endpoints may name (127.0.0.0/8)",
    ),
    ours=True,
)
_add(
    "S3",
    (
        "TrustedEndpoints",
        L,
        None,
        "S3 servers (https://host) that get AWS credentials, besides AWS; others are asked anonymously",
    ),
    ours=True,
)
_add("", ("Labels", M, None, "Labels of this node: key=value"))
_add(
    "WebUI",
    ("Enabled", F, False, "Whether the stand-alone web page is served"),
    ("Listen", T, "127.0.0.1:8438", "Address and port of the web page (upstream: 0.0.0.0:8438)"),
    ("Backend", T, None, "API the web page talks to; empty means this node's"),
)
_add(
    "InputSources",
    ("Disabled", L, None, "Input source types that are off"),
    ("ReadTimeout", D, 5 * _MINUTE, "Longest wait for an input"),
    ("MaxRetryCount", I, 3, "How often reading an input is tried"),
    ("Types.IPFS.Endpoint", T, None, "IPFS node to read from (multiaddress)"),
)
_add(
    "Publishers",
    ("Disabled", L, None, "Publisher types that are off"),
    ("Types.IPFS.Endpoint", T, None, "IPFS node to publish to (multiaddress)"),
    ("Types.S3.PreSignedURLDisabled", F, False, "Whether S3 results stay unsigned"),
    ("Types.S3.PreSignedURLExpiration", D, 0.0, "How long a signed S3 URL is good; 0 means 15 minutes"),
    ("Types.S3Managed.Bucket", T, None, "Bucket of managed results"),
    ("Types.S3Managed.Key", T, None, "Key prefix of managed results"),
    ("Types.S3Managed.Region", T, None, "Region of the bucket"),
    ("Types.S3Managed.Endpoint", T, None, "S3 endpoint other than AWS"),
    ("Types.S3Managed.PreSignedURLExpiration", D, _HOUR, "How long a signed URL is good"),
    (
        "Types.Local.Address",
        T,
        "127.0.0.1",
        "Host (or https://host) that links to local results name; 127.0.0.1: as the caller addressed the API",
    ),
    ("Types.Local.Port", P, 6001, "Port that these links name; 6001: the API's, which serves them"),
)
_add(
    "Publishers",
    ("Types.Local.Quota", S, 50_000_000_000, "Bytes of local results kept, the oldest go first; 0: no limit"),
    ("Types.Local.MaxAge", D, 0.0, "How long local results are kept; 0: for ever"),
    ("Types.Local.MinAge", D, _HOUR, "How long a local result stays in any case, and after it was last read"),
    ours=True,
)
_add(
    "Engines",
    ("Disabled", L, None, "Engine types that are off"),
    ("Types.Docker.ManifestCache.Size", I, 1000, "Image descriptions kept"),
    ("Types.Docker.ManifestCache.TTL", D, _HOUR, "How long an image description is kept"),
    ("Types.Docker.ManifestCache.Refresh", D, _HOUR, "How often kept image descriptions are renewed"),
)
_add(
    "Engines",
    ("Process.Enabled", F, True, "Whether jobs may run as confined processes of this host"),
    (
        "Process.Tiers",
        L,
        None,
        "Confinements to try, best first (bubblewrap, landlock); empty means all of them",
    ),
    ours=True,
)
_add(
    "ResultDownloaders",
    ("Disabled", L, None, "Download types that are off"),
    ("Timeout", D, 0.0, "Longest download; 0 means no limit"),
    ("Types.IPFS.Endpoint", T, None, "IPFS node to download from (multiaddress)"),
)
_add(
    "ResultDownloaders",
    ("Types.IPFS.SwarmAddresses", L, None, "IPFS nodes to connect to first (multiaddresses with /p2p/…)"),
    ("Types.IPFS.SwarmKey", T, None, "File with the key of a private IPFS swarm"),
    ours=True,
)
_add("Results", ("URLExpiry", D, _HOUR, "How long the signed URL of a local result is good"), ours=True)
for _type in ("Batch", "Ops", "Daemon", "Service"):
    _add(
        f"JobDefaults.{_type}",
        ("Priority", I, 0, "Priority of a job that names none"),
        ("Task.Resources.CPU", T, "500m", "CPU of a task that names none"),
        ("Task.Resources.Memory", T, "512Mb", "Memory of a task that names none"),
        ("Task.Resources.Disk", T, None, "Disk of a task that names none"),
        ("Task.Resources.GPU", T, None, "GPUs of a task that names none"),
    )
    if _type in ("Batch", "Ops"):
        _add(
            f"JobDefaults.{_type}.Task",
            ("Publisher.Type", T, None, "Publisher of a task that names none"),
            ("Publisher.Params", M, None, "Parameters of that publisher"),
            ("Timeouts.TotalTimeout", D, 0.0, "Total time-out of a task that names none"),
            ("Timeouts.ExecutionTimeout", D, 0.0, "Execution time-out of a task that names none"),
        )
    _add(
        f"JobDefaults.{_type}.Task",
        ("Timeouts.QueueTimeout", D, 0.0, "Queue time-out of a task that names none; 0 fails at once"),
        ours=True,
    )
_add(
    "JobAdmissionControl",
    ("Locality", T, "anywhere", "Where inputs may lie", "anywhere", "local"),
    ("RejectStatelessJobs", F, False, "Whether jobs without inputs are refused"),
    ("RejectNetworkedJobs", F, False, "Whether jobs with network access are refused"),
    ("ProbeHTTP", T, None, "URL that decides whether a job is taken"),
    ("ProbeExec", T, None, "Command that decides whether a job is taken"),
)
_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "panic")
_add(
    "Logging",
    ("Level", T, "info", "How much is logged", *_LEVELS),
    ("Mode", T, "default", "Form of log lines", "default", "json"),
    ("LogDebugInfoInterval", D, 30.0, "How often debug information is logged"),
)
_add("", ("UpdateConfig.Interval", D, 24 * _HOUR, "Accepted and ignored: no update checks are made"))
_add("", ("DisableAnalytics", F, False, "Accepted and ignored: nothing is ever sent"))
_add(
    "API",
    ("TrustLocalUser", F, True, "Whether this OS user needs no key on loopback; switch off beside sidecars"),
    ("Names", L, None, "Further host names a browser may use for the API"),
    ours=True,
)
_add(
    "Node",
    ("GracePeriod", D, 10 * _MINUTE, "How long an embedded node stays without users and jobs"),
    ("DiskReserve", S, 0, "Room on the disk kept for when it is full; 0: a 64th of the disk, 16 MB at most"),
    ("Ephemeral", F, False, "Whether all state is kept in memory and lost at the end"),
    ("StateDir", T, None, "Local directory of the databases, for a DataDir on a network file system"),
    ours=True,
)

# Sections upstream shows though no key of theirs is known here.
EMPTY_SECTIONS = ("Engines.Types.WASM", "FeatureFlags")
SECTIONS = frozenset(
    prefix.lower()
    for name in [*KEYS, *(f"{section}." for section in EMPTY_SECTIONS)]
    for prefix in (".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1))
)
"""Every section name in lower case."""

_FOLDED = {name.lower(): key for name, key in KEYS.items()}
