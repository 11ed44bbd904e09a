"""The listener of the stand-alone web page: ``WebUI.Enabled``, ``WebUI.Listen``."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.page.webui import LOGIN, WebUI
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.election import base_url
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.nearby import is_loopback
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.doors import ports
from bacalhau_jupyter.node.doors.listening import Doors

BUILT = Path(__file__).parents[2] / "webui"
"""Where the built front end lies; a checkout that was not built has none."""


class WebPage:
    """The running web page.

    Attributes
    ----------
    url
        Its address, as a browser on this host dials it.
    """

    def __init__(self, ui: WebUI, host: str, port: int, scheme: str) -> None:
        self._ui = ui
        self._host = host
        self.url = base_url(host, port, scheme)

    @property
    def is_open_to_others(self) -> bool:
        """Whether it listens beyond this machine, and what passes there is not encrypted."""
        return not is_loopback(self._host) and not self.url.startswith("https:")

    def login_link(self) -> str:
        """Return an address that logs in once; its token is in the fragment, which no server ever sees."""
        return f"{self.url}{LOGIN}#token={self._ui.sessions.one_time_token()}"


def listen_address(config: Config) -> tuple[str, int]:
    """Return host and port of ``WebUI.Listen``.

    Raises
    ------
    ConfigurationError
        It is not of the form ``host:port``.
    """
    text = str(config["WebUI.Listen"])
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigurationError(f"WebUI.Listen {text!r} is not HOST:PORT", component="Config")
    return host.strip("[]"), int(port)


async def start_webui(
    stack: AsyncExitStack,
    config: Config,
    services: ApiServices,
    *,
    doors: Doors,
    clock: Clock,
    built: Path = BUILT,
) -> WebPage:
    """Serve the page until ``stack`` is closed.

    Raises
    ------
    ConfigurationError
        The address can't be listened on.
    """
    host, port = listen_address(config)
    try:
        listener = ports.listen(host, port)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"the web page can't be served: {error.message}",
            hint="Choose another WebUI.Listen.",
            component="WebUI",
        ) from error
    stack.callback(listener.close)
    ui = WebUI(services, clock, built)
    await doors.open(stack, ui.app(), listener, "web page")
    return WebPage(ui, host, listener.getsockname()[1], doors.scheme)
