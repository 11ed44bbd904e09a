"""``/agent/packages`` +: sets of Python packages that jobs may see.

Packages are made on the node's own disk and shown to jobs, so, as for environments, a key is not enough.
"""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.binding import body
from bacalhau_jupyter.api.http.own_user import own_user_only
from bacalhau_jupyter.api.services.kept import Packages
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.models.records.packages import PATH, FindPackages, KeepPackages

_WAY_OUT = (
    "Use --pip from a kernel or shell of that user on the node's machine (with API.TrustLocalUser on), or an image "
    "that holds the packages."
)


class PackageRoutes:
    """Find sets of packages, and make them."""

    def __init__(self, packages: Packages, access: Access) -> None:
        self._packages = packages
        self._access = access

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler of each route."""
        return [
            web.post(PATH, self.find),
            web.put(f"{PATH}/{{draft}}", self.keep),
            web.delete(f"{PATH}/{{draft}}", self.drop),
        ]

    async def find(self, request: web.Request) -> web.Response:
        """Answer with the set of a request, or with a draft for it."""
        await self._check(request)
        order = await body(request, FindPackages)
        return answer(request, await self._packages.find(order.request))

    async def keep(self, request: web.Request) -> web.Response:
        """Turn a draft into a set."""
        await self._check(request)
        order = await body(request, KeepPackages)
        return answer(request, await self._packages.keep(request.match_info["draft"], order))

    async def drop(self, request: web.Request) -> web.Response:
        """Give a draft up."""
        await self._check(request)
        await self._packages.drop(request.match_info["draft"])
        return answer(request, {})

    async def _check(self, request: web.Request) -> None:
        await own_user_only(self._access, request, "register Python packages", hint=_WAY_OUT)
