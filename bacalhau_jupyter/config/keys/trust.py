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
)
