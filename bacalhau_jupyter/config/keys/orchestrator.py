"""Placing jobs, and the link to compute nodes."""

from __future__ import annotations

from bacalhau_jupyter.config.key import HONOURED, Key, Kind, ignored, refused

_ONE_SERVER = "nodes meet at one NATS server here, which is not a member of a cluster of servers"

LINK: tuple[Key, ...] = (
    Key(
        "Orchestrator.Link",
        Kind.TEXT,
        "auto",
        "Whether nodes of other machines may join over NATS; auto: where this node runs no jobs itself, where the "
        "address, token or TLS of the link is set, and after `cluster open`",
        HONOURED,
        choices=("auto", "on", "off"),
        ours=True,
    ),
    Key(
        "Orchestrator.Host",
        Kind.TEXT,
        "127.0.0.1",
        "Address compute nodes connect to (upstream: 0.0.0.0); one that other machines reach needs a token",
        HONOURED,
    ),
    Key(
        "Orchestrator.Port",
        Kind.PORT,
        4222,
        "Port compute nodes connect to; 0 takes any, and keeps it",
        HONOURED,
    ),
    Key(
        "Orchestrator.Advertise",
        Kind.TEXT,
        "",
        "Address (HOST or HOST:PORT) at which other machines reach the link, where it is not Orchestrator.Host",
        HONOURED,
    ),
    Key(
        "Orchestrator.NATSServer",
        Kind.TEXT,
        "",
        "URL of a NATS server that runs already (nats://host:port), to be used in place of one of our own",
        HONOURED,
        ours=True,
    ),
    Key(
        "Orchestrator.MaxPayload",
        Kind.SIZE,
        8 * 1024 * 1024,
        "Bytes of the largest message between nodes (upstream: 1 MiB)",
        HONOURED,
        ours=True,
    ),
    Key("Orchestrator.TLS.ServerKey", Kind.TEXT, "", "Key of the node-link certificate", HONOURED),
    Key(
        "Orchestrator.TLS.ServerCert", Kind.TEXT, "", "Node-link certificate (PEM, with its chain)", HONOURED
    ),
    Key(
        "Orchestrator.TLS.ServerTimeout",
        Kind.INTEGER,
        0,
        "Seconds a TLS handshake may take; 0: ten",
        HONOURED,
    ),
    Key(
        "Orchestrator.TLS.CACert",
        Kind.TEXT,
        "",
        "Certificate authority by which this node knows the server of the link",
        HONOURED,
    ),
    Key(
        "Orchestrator.SupportReverseProxy",
        Kind.FLAG,
        False,
        "Whether a TLS proxy is in front of the node link",
        HONOURED,
    ),
    Key(
        "Orchestrator.Auth.Token",
        Kind.TEXT,
        "",
        "Secret that compute nodes must present",
        HONOURED,
        secret=True,
    ),
)
"""The link to the compute nodes of other machines."""

SECTION: tuple[Key, ...] = (
    Key("Orchestrator.Enabled", Kind.FLAG, False, "Whether this node places jobs", HONOURED),
    *LINK,
    Key(
        "Orchestrator.Cluster.Name",
        Kind.TEXT,
        "",
        "Name of the orchestrator cluster",
        refused(_ONE_SERVER),
    ),
    Key("Orchestrator.Cluster.Host", Kind.TEXT, "", "Address of the cluster link", refused(_ONE_SERVER)),
    Key("Orchestrator.Cluster.Port", Kind.PORT, 0, "Port of the cluster link", refused(_ONE_SERVER)),
    Key(
        "Orchestrator.Cluster.Advertise",
        Kind.TEXT,
        "",
        "Address announced to cluster members",
        refused(_ONE_SERVER),
    ),
    Key("Orchestrator.Cluster.Peers", Kind.LIST, [], "Other cluster members", refused(_ONE_SERVER)),
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
)
