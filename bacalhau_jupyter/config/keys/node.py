"""The node itself: name, directories, logging, the web page."""

from __future__ import annotations

from bacalhau_jupyter.config.key import HONOURED, Key, Kind, ignored, refused

SECTION: tuple[Key, ...] = (
    Key(
        "NameProvider",
        Kind.TEXT,
        "puuid",
        "Where the node's name comes from",
        HONOURED,
        choices=("hostname", "aws", "gcp", "uuid", "puuid"),
    ),
    Key("DataDir", Kind.TEXT, "~/.bacalhau", "Directory of all state", HONOURED),
    Key(
        "StrictVersionMatch",
        Kind.FLAG,
        False,
        "Whether client and server must have the same version",
        ignored("versions are never compared strictly; upstream ignores it, too"),
    ),
    Key("Labels", Kind.MAP, {}, "Labels of this node: key=value", HONOURED),
    Key("WebUI.Enabled", Kind.FLAG, False, "Whether the stand-alone web page is served", HONOURED),
    Key(
        "WebUI.Listen",
        Kind.TEXT,
        "127.0.0.1:8438",
        "Address and port of the web page (upstream: 0.0.0.0:8438)",
        HONOURED,
    ),
    Key(
        "WebUI.Backend",
        Kind.TEXT,
        "",
        "API the web page talks to; empty means this node's",
        refused("the web page talks to the node that serves it"),
    ),
    Key(
        "Logging.Level",
        Kind.TEXT,
        "info",
        "How much is logged",
        HONOURED,
        choices=("trace", "debug", "info", "warn", "error", "fatal", "panic"),
    ),
    Key(
        "Logging.Mode",
        Kind.TEXT,
        "default",
        "Form of log lines: default (text), json (on standard output), combined (both), cmd (only the message)",
        HONOURED,
        choices=("default", "json", "combined", "cmd"),
    ),
    Key(
        "Logging.LogDebugInfoInterval",
        Kind.DURATION,
        30.0,
        "How often debug information is logged",
        ignored("no debug information is logged at intervals; GET /api/v1/agent/debug returns it"),
    ),
    Key(
        "UpdateConfig.Interval",
        Kind.DURATION,
        86400.0,
        "How often to look for a new version",
        ignored("no update checks are made"),
    ),
    Key(
        "DisableAnalytics",
        Kind.FLAG,
        False,
        "Whether anonymous statistics are off",
        ignored("nothing is ever sent"),
    ),
    Key(
        "Node.GracePeriod",
        Kind.DURATION,
        600.0,
        "How long an embedded node runs without users and jobs",
        HONOURED,
        ours=True,
    ),
    Key(
        "Node.DiskReserve",
        Kind.SIZE,
        0,
        "Disk space reserved for when the disk is full; 0: a 64th of the disk, 16 MB at most",
        HONOURED,
        ours=True,
    ),
    Key(
        "Node.Ephemeral",
        Kind.FLAG,
        False,
        "Whether all state is kept in memory and lost at the end",
        HONOURED,
        ours=True,
    ),
    Key(
        "Node.StateDir",
        Kind.TEXT,
        "",
        "Local directory of the databases, for a DataDir on a network file system",
        HONOURED,
        ours=True,
    ),
)
