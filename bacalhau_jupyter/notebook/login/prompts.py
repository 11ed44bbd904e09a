"""Talk with the person at a notebook about a login; nothing secret, and no code, stays in the notebook."""

from __future__ import annotations

import getpass
import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.client.login.choosing import choose
from bacalhau_jupyter.models.errors import Unauthorized
from bacalhau_jupyter.notebook.sweeps.consent import asker

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import DisplayHandle

    from bacalhau_jupyter.client.login.device import DeviceCode
    from bacalhau_jupyter.client.login.fields import Field
    from bacalhau_jupyter.client.login.flow import LoggedIn

NOBODY = "this cluster asks for a login, and nobody can answer here"


class NotebookPrompter:
    """Implements ``client.login.flow.Prompter`` with the front end's input fields, and an output that is replaced.

    Parameters
    ----------
    shell
        The shell of the cell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._shown: DisplayHandle | None = None

    def show_code(self, code: DeviceCode, provider: str) -> None:
        """Show a link and a code below the cell."""
        self._show(_Words(*_code_words(code, provider)))

    def ask(self, field: Field) -> str:
        """Return what the person types; a secret is typed into a field for passwords, which leaves dots."""
        ask = self._asker()
        prompt = f"{field.name}: "
        return getpass.getpass(prompt) if field.is_secret else ask(prompt)

    def choose(self, question: str, names: Sequence[str]) -> str | None:
        """Return one of the names; None when the person wants none."""
        return choose(question, names, read=self._asker(), say=print)

    def finish(self, login: LoggedIn | None) -> None:
        """Say how it ended, in place of the code."""
        sentence = "Not logged in." if login is None else f"Logged in to {login.url} with {login.by}."
        self._show(_Words(sentence, html.escape(sentence)))

    def _asker(self) -> Callable[[str], str]:
        ask = asker(self._shell)
        if ask is None:
            raise Unauthorized(
                NOBODY, hint="log in from a terminal: bacalhau-jupyter auth login", component="Login"
            )
        return ask

    def _show(self, words: _Words) -> None:
        from IPython.display import DisplayHandle

        if self._shown is None:
            self._shown = DisplayHandle()  # type: ignore[no-untyped-call]
            self._shown.display(words)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(words)  # type: ignore[no-untyped-call]


class _Words:
    """A few words with a link in them."""

    def __init__(self, text: str, markup: str) -> None:
        self._text, self._markup = text, markup

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self._text, "text/html": f"<div>{self._markup}</div>"}


def _code_words(code: DeviceCode, provider: str) -> tuple[str, str]:
    """Return the words in which a person is told where to go, as text and as HTML."""
    url = code.complete_url or code.url
    ending = "The cell goes on when you have confirmed it there; ■ gives up."
    text = f"Log in with {provider}: open {url}\nCode: {code.user_code}\n{ending}"
    link = f'<a href="{html.escape(url)}" target="_blank" rel="noopener noreferrer">{html.escape(url)}</a>'
    markup = (
        f"Log in with {html.escape(provider)}: open {link}<br>"
        f"Code: <strong><code>{html.escape(code.user_code)}</code></strong><br>{ending}"
    )
    return text, markup
