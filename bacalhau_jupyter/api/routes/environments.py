"""``/agent/environments`` +: the Python environments of this machine that jobs may see.

Registered paths are shown to jobs, so a key is not enough: its holder may be anywhere, and a job's author
must not widen what his job sees. Registering takes a connection of the node's own user, and no browser behind it.
"""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.binding import body
from bacalhau_jupyter.api.http.own_user import own_user_only
from bacalhau_jupyter.api.services.kept import Environments
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.records.environments import PATH, ListEnvironmentsResponse, PythonDescription

_WAY_OUT = (
    "Register it from a kernel or shell of that user on the node's machine (with API.TrustLocalUser on); a job "
    "without Engine.Params.Python runs with the system's Python, and one with an image brings its own."
)


class EnvironmentRoutes:
    """Register Python environments for process jobs, and list them."""

    def __init__(self, environments: Environments, access: Access) -> None:
        self._environments = environments
        self._access = access

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler of each route."""
        return [web.post(PATH, self.register), web.get(PATH, self.list, allow_head=False)]

    async def register(self, request: web.Request) -> web.Response:
        """Keep an environment; answer with its name in specs."""
        await own_user_only(self._access, request, "register a Python environment", hint=_WAY_OUT)
        description = await body(request, PythonDescription)
        if description.is_empty:
            raise BadRequest("the body names no Python environment")
        return answer(request, await self._environments.register(description))

    async def list(self, request: web.Request) -> web.Response:
        """Every environment that is kept."""
        return answer(request, ListEnvironmentsResponse(environments=await self._environments.registered()))
