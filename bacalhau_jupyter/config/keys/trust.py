"""What people may use of a node, and what is written down of what they do."""

from __future__ import annotations

from bacalhau_jupyter.config.key import HONOURED, Key, Kind

SECTION: tuple[Key, ...] = (
    Key(
        "API.Quotas.Default",
        Kind.TREE,
        {},
        "What each principal but the owner may use at a time: Jobs, CPU, Memory, GPU, Uploads",
        HONOURED,
        ours=True,
    ),
    Key(
        "API.Quotas.Principals",
        Kind.RECORDS,
        [],
        "The same for single ones: Name, such as user:ada, and what differs from the default",
        HONOURED,
        ours=True,
    ),
    Key(
        "API.Audit.Enabled",
        Kind.TEXT,
        "auto",
        "Whether it is written down who changed something or was refused; auto: where others than the owner may call",
        HONOURED,
        choices=("auto", "true", "false"),
        ours=True,
    ),
    Key(
        "API.Audit.Directory",
        Kind.TEXT,
        "",
        "Directory of audit.jsonl and the files before it; audit in the data directory by default",
        HONOURED,
        ours=True,
    ),
    Key(
        "API.Audit.MaxSize",
        Kind.SIZE,
        10_000_000,
        "Bytes of audit.jsonl before it is put aside as audit.jsonl.1",
        HONOURED,
        ours=True,
    ),
    Key(
        "API.Audit.MaxFiles",
        Kind.INTEGER,
        9,
        "Files that are kept beside audit.jsonl; the oldest goes",
        HONOURED,
        ours=True,
    ),
)
