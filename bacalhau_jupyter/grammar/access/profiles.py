"""``profile …``: saved connections, in the official client's own files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.output import Result, Table, Text
from bacalhau_jupyter.grammar.root import bacalhau, chosen_profile
from bacalhau_jupyter.grammar.session import overrides, without_directory
from bacalhau_jupyter.lib.masking import MASK
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest

if TYPE_CHECKING:
    from bacalhau_jupyter.config.profiles import Profile, ProfileStore

_ARGUMENT = click.argument("name", shell_complete=completing.contexts)


@bacalhau.group()
def profile() -> None:
    """Save and choose connections to clusters."""


@profile.command("save")
@_ARGUMENT
@click.option("--endpoint", default="", metavar="ADDRESS", help="Address of the API: host:port, or a URL.")
@click.option("--description", default="", help="What it is for.")
@click.option("--timeout", default="", metavar="DURATION", help="Time-out of requests (30s, 1m).")
@click.option("--insecure", is_flag=True, help="Do not check the server's certificate.")
@click.option("--ca", default="", metavar="FILE", help="Authority that signed the server's certificate.")
@click.option("--select", is_flag=True, help="Use this connection from now on.")
def profile_save(
    name: str, *, endpoint: str, description: str, timeout: str, insecure: bool, ca: str, select: bool
) -> Result:
    """Make or change a connection."""
    from bacalhau_jupyter.config.authorities import checked_authority
    from bacalhau_jupyter.config.profiles import Profile

    store = _store()
    authority = checked_authority(ca) if ca else ""

    def changed(saved: Profile | None) -> Profile:
        if saved is None and not endpoint:
            raise BadRequest(
                "a new profile needs --endpoint", hint=f"profile save {name} --endpoint host:1234"
            )
        saved = saved or Profile(endpoint=endpoint)
        return replace(
            saved,
            endpoint=endpoint or saved.endpoint,
            description=description or saved.description,
            timeout=timeout or saved.timeout,
            insecure=insecure or saved.insecure,
            ca_file=authority or saved.ca_file,
        )

    store.change(name, changed)
    if select:
        store.select(name)
    return Text(f'Profile "{name}" saved' + (f'\nSwitched to profile "{name}"' if select else ""))


@profile.command("list")
@print_options
def profile_list(**show: Any) -> Result:
    """List the connections."""
    store = _store()
    current = store.current()
    entries, notes = [], []
    for name in store.names():
        try:
            saved = store.load(name)
            address, auth = _address(saved), "token" if saved.token else ""
        except BacalhauError as error:
            # One that is damaged must not hide the others.
            address, auth = "", ""
            notes.append(f"{error.message}: profile delete {name} removes it")
        marker = "*" if name == current else ""
        entries.append({"current": marker, "name": name, "endpoint": address, "auth": auth})
    rows = [tuple(entry.values()) for entry in entries]
    table = Table(("current", "name", "endpoint", "auth"), rows, entries)
    if not entries:
        notes.append("no profile is saved: profile save NAME --endpoint host:1234 saves one")
    table.note = "\n".join(notes)
    return table


@profile.command("show")
@click.argument("name", required=False, shell_complete=completing.contexts)
@click.option("--show-token", is_flag=True, help="Do not mask the token.")
def profile_show(name: str | None, show_token: bool) -> Result:
    """Show a connection; without NAME, the one that is in use."""
    import os

    store = _store()
    current = store.current()
    chosen = name or chosen_profile() or os.environ.get("BACALHAU_PROFILE") or current
    if not chosen:
        raise BadRequest("no current profile set", hint="profile select NAME chooses one")
    saved = store.load(chosen)
    token = f"token ({saved.token if show_token else MASK})" if saved.token else "none"
    record = {
        "Name": f"{chosen} (current)" if chosen == current else chosen,
        "Endpoint": _address(saved),
        "Auth": token,
        "TLS": "insecure"
        if saved.insecure
        else f"secure (by {saved.ca_file})"
        if saved.ca_file
        else "secure",
        "Timeout": saved.timeout or "30s",
        **({"Description": saved.description} if saved.description else {}),
    }
    return Text("\n".join(f"{key + ':':<12} {value}" for key, value in record.items()))


@profile.command("select")
@_ARGUMENT
def profile_select(name: str) -> Result:
    """Use a connection from now on."""
    _store().select(name)
    return Text(f'Switched to profile "{name}"')


@profile.command("delete")
@_ARGUMENT
@click.option("-f", "--force", is_flag=True, help="Also the one that is in use, without a question.")
def profile_delete(name: str, force: bool) -> Result:
    """Delete a connection."""
    store = _store()
    if store.current() == name and not force:
        click.confirm(f'Profile "{name}" is the current profile. Delete it?', abort=True, err=True)
    store.delete(name)
    return Text(f'Profile "{name}" deleted')


def _store() -> ProfileStore:
    from bacalhau_jupyter.config.profiles import ProfileStore
    from bacalhau_jupyter.config.repo import Repo

    return ProfileStore(Repo.open(without_directory(overrides())[1]).profiles_dir)


def _address(saved: Profile) -> str:
    from bacalhau_jupyter.config.endpoint import shown_endpoint

    return shown_endpoint(saved.endpoint)
