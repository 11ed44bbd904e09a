"""The login that waits until a person has confirmed a code elsewhere: one at a time."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import NotFound

if TYPE_CHECKING:
    from bacalhau_jupyter.client.login.device import DeviceCode


@dataclass
class CodeLogin:
    """A login that waits until a person has confirmed its code elsewhere.

    Attributes
    ----------
    id
        By which the browser that began it asks for it.
    code
        What the person needs.
    end
        Ends with the login; its error says why it failed.
    """

    code: DeviceCode
    end: asyncio.Task[None]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))


class CodeLogins:
    """The login that runs, if one does: the next one takes its place."""

    def __init__(self) -> None:
        self._current: CodeLogin | None = None

    def begin(self, code: DeviceCode, end: asyncio.Task[None]) -> CodeLogin:
        """Keep a login; the one before is given up."""
        self.drop()
        self._current = CodeLogin(code, end)
        return self._current

    def get(self, login_id: str) -> CodeLogin:
        """Return a login; raises NotFound where another one took its place."""
        if self._current is None or not secrets.compare_digest(self._current.id.encode(), login_id.encode()):
            raise NotFound("this login was given up")
        return self._current

    def drop(self) -> None:
        """Give the login up."""
        if self._current is not None:
            self._current.end.cancel()
            self._current = None
