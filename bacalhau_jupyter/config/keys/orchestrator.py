"""Placing jobs, and the link to compute nodes."""

from __future__ import annotations

from bacalhau_jupyter.config.key import HONOURED, Key, Kind, ignored, refused

_NO_NODE_LINK = "this node opens no port for other nodes in this version"
_NO_NODE_NETWORK = "connections between nodes come with a later version"

SECTION: tuple[Key, ...] = (
    Key("Orchestrator.Enabled", Kind.FLAG, False, "Whether this node places jobs", HONOURED),
    Key(
        "Orchestrator.Host", Kind.TEXT, "0.0.0.0", "Address compute nodes connect to", ignored(_NO_NODE_LINK)
    ),
    Key("Orchestrator.Port", Kind.PORT, 4222, "Port compute nodes connect to", ignored(_NO_NODE_LINK)),
    Key(
        "Orchestrator.Advertise", Kind.TEXT, "", "Address announced to other servers", ignored(_NO_NODE_LINK)
    ),
    Key(
        "Orchestrator.TLS.ServerKey",
        Kind.TEXT,
        "",
        "Key of the node-link certificate",
        refused(_NO_NODE_NETWORK),
    ),
    Key("Orchestrator.TLS.ServerCert", Kind.TEXT, "", "Node-link certificate", refused(_NO_NODE_NETWORK)),
    Key(
        "Orchestrator.TLS.ServerTimeout",
        Kind.INTEGER,
        0,
        "Seconds a TLS handshake may take",
        refused(_NO_NODE_NETWORK),
    ),
    Key(
        "Orchestrator.TLS.CACert",
        Kind.TEXT,
        "",
        "Certificate authority of the node link",
        refused(_NO_NODE_NETWORK),
    ),
    Key(
        "Orchestrator.Cluster.Name",
        Kind.TEXT,
        "",
        "Name of the orchestrator cluster",
        refused(_NO_NODE_NETWORK),
    ),
    Key("Orchestrator.Cluster.Host", Kind.TEXT, "", "Address of the cluster link", refused(_NO_NODE_NETWORK)),
    Key("Orchestrator.Cluster.Port", Kind.PORT, 0, "Port of the cluster link", refused(_NO_NODE_NETWORK)),
    Key(
        "Orchestrator.Cluster.Advertise",
        Kind.TEXT,
        "",
        "Address announced to cluster members",
        refused(_NO_NODE_NETWORK),
    ),
    Key("Orchestrator.Cluster.Peers", Kind.LIST, [], "Other cluster members", refused(_NO_NODE_NETWORK)),
    Key(
        "Orchestrator.NodeManager.DisconnectTimeout",
        Kind.DURATION,
        60.0,
        "A node that sends no heartbeat for this long counts as disconnected",
        HONOURED,
    ),
    Key(
        "Orchestrator.NodeManager.ManualApproval",
        Kind.FLAG,
        False,
        "Whether a new node waits for approval before it gets jobs",
        HONOURED,
    ),
    Key(
        "Orchestrator.Scheduler.WorkerCount",
        Kind.INTEGER,
        16,
        "Evaluations handled at a time (upstream: the number of CPUs)",
        HONOURED,
    ),
    Key(
        "Orchestrator.Scheduler.QueueBackoff",
        Kind.DURATION,
        60.0,
        "How often a queued job is evaluated if nothing else happens",
        ignored("a queued job is evaluated as soon as capacity is freed"),
    ),
    Key(
        "Orchestrator.Scheduler.HousekeepingInterval",
        Kind.DURATION,
        30.0,
        "How often time-outs are checked",
        ignored("each time-out takes effect when it is due"),
    ),
    Key(
        "Orchestrator.Scheduler.HousekeepingTimeout",
        Kind.DURATION,
        120.0,
        "Grace before the orchestrator times out an execution itself",
        HONOURED,
    ),
    Key(
        "Orchestrator.EvaluationBroker.VisibilityTimeout",
        Kind.DURATION,
        60.0,
        "How long a worker may hold an evaluation",
        ignored("evaluations stay in the node's own process and can't be lost"),
    ),
    Key(
        "Orchestrator.EvaluationBroker.MaxRetryCount",
        Kind.INTEGER,
        10,
        "How often an evaluation is tried",
        ignored("an evaluation that fails is tried until it succeeds"),
    ),
    Key(
        "Orchestrator.SupportReverseProxy",
        Kind.FLAG,
        False,
        "Whether a TLS proxy is in front of the node link",
        refused(_NO_NODE_NETWORK),
    ),
    Key(
        "Orchestrator.Auth.Token",
        Kind.TEXT,
        "",
        "Secret that compute nodes must present",
        refused(_NO_NODE_NETWORK),
        secret=True,
    ),
)
