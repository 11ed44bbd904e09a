"""The node as ``/agent`` shows it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.records.node import BuildVersionInfo, NodeInfo
from bacalhau_jupyter.node.leases import Leases
from bacalhau_jupyter.node.version import build_version


class NodeAgent:
    """Implements ``api.services.agent.AgentService``.

    Parameters
    ----------
    info
        Describes the node as it is now.
    debug
        Facts of the roles, by component.
    sign_on
        What clients need to log in at the identity provider, by official name; empty without one.
    """

    def __init__(
        self,
        config: Config,
        instance_id: str,
        leases: Leases,
        info: Callable[[], NodeInfo],
        debug: Callable[[], dict[str, Any]],
        sign_on: Mapping[str, Any] | None = None,
    ) -> None:
        self._config = config
        self._instance_id = instance_id
        self._leases = leases
        self._info = info
        self._debug = debug
        self._sign_on = dict(sign_on or {})
        self._version = build_version()

    @property
    def instance_id(self) -> str:
        """Changes with every start of the node."""
        return self._instance_id

    def version(self) -> BuildVersionInfo:
        """The software, in the form official clients expect."""
        return self._version

    def node_info(self) -> NodeInfo:
        """The node, its features included."""
        return self._info()

    def config(self) -> dict[str, Any]:
        """The effective configuration, secrets masked."""
        return self._config.to_wire()

    def sign_on(self) -> dict[str, Any]:
        """What clients need to log in at the identity provider."""
        return self._sign_on

    def debug(self) -> dict[str, Any]:
        """Component name → facts."""
        process = {
            "Pid": os.getpid(),
            "Python": sys.version.split()[0],
            "Threads": threading.active_count(),
            "Leases": self._leases.count,
            "InstanceID": self._instance_id,
        }
        return {"Process": process, **self._debug()}

    def lease(self) -> AbstractContextManager[None]:
        """Keep the node alive for as long as the context is open."""
        return self._leases.hold()
