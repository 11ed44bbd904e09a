"""The environments of one node as its API and its bids see them."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from bacalhau_jupyter.engines.process.environments.check import NotShown, Registered
from bacalhau_jupyter.engines.process.environments.forbidden import Forbidden
from bacalhau_jupyter.engines.process.environments.registry import Registry
from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.models.errors import BadRequest, IOFailure
from bacalhau_jupyter.models.records.environments import (
    KnownEnvironment,
    PythonDescription,
    RegisteredEnvironment,
)
from bacalhau_jupyter.plugins.options import PluginOptions

OWN_TIMEOUT_S = 60.0
"""Seconds that a bid waits for a node that has just been started to look at its own Python."""


class Environments:
    """Implements `plugins.engine.Environments`.

    Parameters
    ----------
    options
        The node's; records are kept in ``data_dir/environments``.
    """

    def __init__(self, options: PluginOptions) -> None:
        self._options = options
        self.registry = Registry(options.data_dir / "environments")
        self._own = ""
        self._own_is_known = asyncio.Event()

    @property
    def secrets(self) -> tuple[Path, ...]:
        """What no job may see."""
        return host.secrets((*self._options.hidden, self._options.data_dir))

    def forbidden(self) -> Forbidden:
        """Return what may not be shown, as the configuration is now."""
        return Forbidden(self.secrets, self._options.writable)

    @property
    def own(self) -> Registered | None:
        """The environment of the Python that the node itself runs with; None where jobs may not see it."""
        return self.registry.find(self._own)

    async def register_own(self, description: PythonDescription) -> None:
        """Keep the environment of the Python that the node itself runs with; raises as `register`."""
        try:
            self._own = (await self.register(description)).environment
        finally:
            self._own_is_known.set()

    async def await_own(self) -> None:
        """Wait until it is known whether jobs may see the node's own Python; a node looks at it when it starts."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OWN_TIMEOUT_S):
                await self._own_is_known.wait()

    async def register(self, description: PythonDescription) -> RegisteredEnvironment:
        """Keep an environment that jobs may see from now on; the caller must be the node's own user.

        Raises
        ------
        BadRequest
            It can't be shown to jobs.
        IOFailure
            It can't be written down.
        """
        try:
            registered = await asyncio.to_thread(self.registry.register, description, self.forbidden())
        except NotShown as reason:
            raise BadRequest(f"this node {reason}") from None
        except OSError as error:
            raise IOFailure(f"the environment can't be kept: {error.strerror or error}") from error
        return RegisteredEnvironment(environment=registered.name, not_shown=registered.left_out)

    async def registered(self) -> list[KnownEnvironment]:
        """Return every environment that jobs may see."""
        registered = await asyncio.to_thread(self.registry.all)
        return [KnownEnvironment(environment=each.name, description=each.description) for each in registered]
