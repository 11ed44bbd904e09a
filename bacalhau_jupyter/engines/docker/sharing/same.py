"""Whether two ways lead to one engine. It blocks."""

from __future__ import annotations

import secrets
import uuid

from bacalhau_jupyter.engines.docker.daemon import Daemon
from bacalhau_jupyter.engines.docker.params import LABEL_EXECUTION, LABEL_NODE, execution_label
from bacalhau_jupyter.engines.docker.sharing.owners import owner_labels


def is_same_engine(one: Daemon, other: Daemon, node_id: str) -> bool:
    """Whether what is made through one way is there through the other.

    Equal IDs alone prove nothing: a cloned machine has the ID of its original. Different ones prove that they differ.
    """
    from docker.errors import APIError

    if one.identity and other.identity and one.identity != other.identity:
        return False
    name = f"bacalhau-jupyter-same-{secrets.token_hex(16)}"
    labels = {
        LABEL_NODE: node_id,
        # The sweep of the next start finds what a crash leaves.
        LABEL_EXECUTION: execution_label(node_id, f"e-{uuid.uuid4()}"),
        **owner_labels(),
    }
    one.api.create_volume(name, driver="local", labels=labels)
    try:
        other.api.inspect_volume(name)
    except APIError as error:
        if error.status_code != 404:
            raise
        return False
    finally:
        one.remove_volume(name)
    return True
