"""Running jobs: capacity, what jobs may see, heartbeats."""

from __future__ import annotations

from bacalhau_jupyter.config.key import HONOURED, Key, Kind, ignored

_NO_NODE_LINK = "this node opens no port for other nodes in this version"

SECTION: tuple[Key, ...] = (
    Key("Compute.Enabled", Kind.FLAG, False, "Whether this node runs jobs", HONOURED),
    Key(
        "Compute.Orchestrators",
        Kind.LIST,
        ["nats://127.0.0.1:4222"],
        "Orchestrators that a node which only runs jobs joins: nats://host:port",
        HONOURED,
    ),
    Key(
        "Compute.Network.AdvertisedAddress",
        Kind.TEXT,
        "",
        "Address announced to other nodes",
        ignored(_NO_NODE_LINK),
    ),
    Key(
        "Compute.Network.PortRangeStart",
        Kind.PORT,
        20000,
        "First port given to jobs that name none",
        HONOURED,
    ),
    Key(
        "Compute.Network.PortRangeEnd",
        Kind.PORT,
        32000,
        "Last port given to jobs that name none",
        HONOURED,
    ),
    Key(
        "Compute.Heartbeat.InfoUpdateInterval",
        Kind.DURATION,
        60.0,
        "How often a changed node description is sent",
        HONOURED,
    ),
    Key(
        "Compute.Heartbeat.ResourceUpdateInterval",
        Kind.DURATION,
        0.0,
        "How often resources are sent",
        ignored("deprecated upstream; resources are sent with each heartbeat"),
    ),
    Key("Compute.Heartbeat.Interval", Kind.DURATION, 15.0, "How often a heartbeat is sent", HONOURED),
    Key(
        "Compute.AllocatedCapacity.CPU",
        Kind.TEXT,
        "80%",
        "CPU for jobs: a share or an amount (500m)",
        HONOURED,
    ),
    Key(
        "Compute.AllocatedCapacity.Memory",
        Kind.TEXT,
        "80%",
        "Memory for jobs: a share or an amount (4Gi)",
        HONOURED,
    ),
    Key(
        "Compute.AllocatedCapacity.Disk",
        Kind.TEXT,
        "80%",
        "Disk for jobs: a share or an amount (100gb)",
        HONOURED,
    ),
    Key("Compute.AllocatedCapacity.GPU", Kind.TEXT, "100%", "GPUs for jobs: a share or a number", HONOURED),
    Key("Compute.AllowListedLocalPaths", Kind.LIST, [], "Host paths jobs may mount: glob[:ro|:rw]", HONOURED),
    Key(
        "Compute.TLS.CACert",
        Kind.TEXT,
        "",
        "PEM file of the authority behind the orchestrator's certificate",
        HONOURED,
    ),
    Key(
        "Compute.TLS.RequireTLS",
        Kind.FLAG,
        False,
        "Whether the link begins with TLS and is never plain",
        HONOURED,
    ),
    Key("Compute.Env.AllowList", Kind.LIST, [], "Host variables jobs may read (anchored globs)", HONOURED),
    Key(
        "Compute.Auth.Token",
        Kind.TEXT,
        "",
        "Secret presented to the orchestrator",
        HONOURED,
        secret=True,
    ),
    Key(
        "Compute.LogLimit",
        Kind.SIZE,
        1000000000,
        "Bytes of stdout and of stderr kept per execution",
        HONOURED,
        ours=True,
    ),
    Key(
        "Compute.InputCache.Size",
        Kind.SIZE,
        10000000000,
        "Bytes of inputs kept for later jobs with the same inputs; 0: none",
        HONOURED,
        ours=True,
    ),
    Key(
        "Compute.InputCache.MinFree",
        Kind.SIZE,
        2000000000,
        "Bytes of disk that the input cache leaves free",
        HONOURED,
        ours=True,
    ),
    Key(
        "Compute.AllowListedAddresses",
        Kind.LIST,
        [],
        "Hosts, host:port or networks of this machine that jobs' URLs and S3 endpoints may name (127.0.0.0/8)",
        HONOURED,
        ours=True,
    ),
)
