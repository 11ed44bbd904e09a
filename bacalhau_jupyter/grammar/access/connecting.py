"""``connect``: another cluster for cells, panel and terminals, and the way back."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, count
from typing import TYPE_CHECKING

import click

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.access.connection_lines import described, notes_on
from bacalhau_jupyter.grammar.flags.small_files import content_of
from bacalhau_jupyter.grammar.output import Result, Text
from bacalhau_jupyter.grammar.root import bacalhau, chosen_profile
from bacalhau_jupyter.grammar.session import current, overrides, without_directory
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Conflict, NetworkFailure, Unauthorized
from bacalhau_jupyter.models.text import readable

if TYPE_CHECKING:
    from bacalhau_jupyter.client.connection.introduction import Introduction
    from bacalhau_jupyter.config.endpoint import Endpoint
    from bacalhau_jupyter.config.profiles import Profile, ProfileStore
    from bacalhau_jupyter.config.repo import Repo


@bacalhau.command("connect")
@click.argument("url", required=False)
@click.option("--own", is_flag=True, help="Use your own node again.")
@click.option(
    "--context",
    "name",
    default="",
    metavar="NAME",
    shell_complete=completing.contexts,
    help="A saved connection.",
)
@click.option("--token", default="", metavar="TOKEN", help="Token or API key; - asks for it.")
@click.option("--token-file", default="", metavar="FILE", help="File whose first line is the token.")
@click.option("--user", default="", metavar="NAME", help="User name; the password is asked for.")
@click.option("--ca", default="", metavar="FILE", help="Authority that signed the cluster's certificate.")
@click.option("--insecure", is_flag=True, help="Do not check the cluster's certificate.")
@click.option("--name", "save_as", default="", metavar="NAME", help="Name to save the connection under.")
def connect(
    url: str | None,
    *,
    own: bool,
    name: str,
    token: str,
    token_file: str,
    user: str,
    ca: str,
    insecure: bool,
    save_as: str,
) -> Result:
    """Let cells, panel and new terminals use another cluster, or say which one they use.

    URL is the address of its API (host:1234, or a URL). It is tried first; only one that answers is saved (as
    profile save does) and used. Jobs that run already stay with their cluster.
    """
    # A flag of the whole line, before the verb, names a connection, too.
    name = name or (chosen_profile() or "")
    credential = (token, token_file, user)
    details = any((*credential, ca, insecure, save_as))
    if sum(map(bool, (url, own, name))) > 1 or (details and not url):
        raise BadRequest(
            "connect takes one of: URL with its flags, --context NAME, --own",
            hint="%bacalhau connect http://host:1234 --token-file FILE",
        )
    if sum(map(bool, credential)) > 1:
        raise BadRequest("give one of --token, --token-file and --user")
    if ":" in user:
        raise BadRequest(
            "a user name can't hold a colon", hint="give the name alone; the password is asked for"
        )
    if own:
        return _own()
    if not url and not name:
        return _where()
    _check_free()
    if name:
        return _selected(name)
    from bacalhau_jupyter.client.connection.address import checked_address
    from bacalhau_jupyter.config.authorities import checked_authority
    from bacalhau_jupyter.config.profiles import Profile

    address = checked_address(url or "")
    if (ca or insecure) and "://" not in (url or ""):
        address = f"https{address.removeprefix('http')}"
    if insecure and address.startswith("http:") and "://" in (url or ""):
        raise BadRequest("--insecure is about certificates, and http has none", hint="https://…")
    profile = Profile(
        endpoint=address,
        token=_token(token, token_file),
        insecure=insecure,
        ca_file=checked_authority(ca) if ca else "",
        user=user,
        password=current().password(f"Password of {user} for {address}: ") if user else "",
    )
    return _connected(profile, save_as, may_be_https="://" not in (url or ""))


# ---- to another cluster


def _connected(profile: Profile, save_as: str, *, may_be_https: bool) -> Result:
    repo, store = _repo(), _store()
    name, saved = _name_for(store, profile, save_as)
    if saved is not None:
        profile = _with_kept(profile, saved)
    endpoint = _endpoint(repo, profile, name)
    try:
        introduction = _admitted(endpoint, name)
    except NetworkFailure as error:
        if not (may_be_https and _speaks_tls(error, endpoint)):
            raise
        profile = replace(profile, endpoint=f"https{profile.endpoint.removeprefix('http')}")
        endpoint = _endpoint(repo, profile, name)
        introduction = _admitted(endpoint, name)

    def changed(now: Profile | None) -> Profile:
        # Somebody may have described it while the cluster was tried.
        is_same = now is not None and saved is not None and _url_of(now) == _url_of(saved)
        return _with_kept(profile, now) if now is not None and is_same else profile

    store.change(name, changed)
    store.select(name)
    current().chosen()
    return Text("\n".join([*described(endpoint, introduction, name), *notes_on(profile)]))


def _with_kept(profile: Profile, saved: Profile) -> Profile:
    """Add what was saved for the same address."""
    kept = profile.token or profile.user
    return replace(
        profile,
        token=profile.token if kept else saved.token,
        user=profile.user if kept else saved.user,
        password=profile.password if kept else saved.password,
        description=saved.description,
        timeout=saved.timeout,
        ca_file=profile.ca_file or saved.ca_file,
    )


def _selected(name: str) -> Result:
    repo, store = _repo(), _store()
    profile = store.load(name)
    endpoint = _endpoint(repo, profile, name)
    introduction = _admitted(endpoint, name)
    store.select(name)
    current().chosen()
    return Text("\n".join(described(endpoint, introduction, name)))


def _name_for(store: ProfileStore, profile: Profile, save_as: str) -> tuple[str, Profile | None]:
    """Return the name of the connection, and what is saved under it: the credential of one server goes to no other."""
    from bacalhau_jupyter.config.logins.keeping import profile_name

    known: dict[str, Profile] = {}
    for each in store.names():
        try:
            known[each] = store.load(each)
        except BacalhauError:
            continue
    same = [each for each, saved in known.items() if _url_of(saved) == profile.endpoint]
    usual = profile_name(profile.endpoint)
    names = chain([usual], (f"{usual}_{number}" for number in count(2)))
    free = (each for each in names if each not in store.names())
    name = save_as or (same[0] if same else next(free))
    saved = known.get(name)
    return name, saved if saved is not None and name in same else None


def _url_of(profile: Profile) -> str:
    from bacalhau_jupyter.config.endpoint import endpoint_url

    try:
        return endpoint_url(profile.endpoint, "https" if profile.ca_file else "http")
    except BacalhauError:
        return ""


def _endpoint(repo: Repo, profile: Profile, name: str) -> Endpoint:
    from bacalhau_jupyter.config.choice.resolving import endpoint_of_profile

    return endpoint_of_profile(repo, name, profile)


def _admitted(endpoint: Endpoint, name: str) -> Introduction:
    try:
        return _introduced(endpoint)
    except Unauthorized as error:
        raise _refused(error, endpoint, name) from error


def _introduced(endpoint: Endpoint) -> Introduction:
    from bacalhau_jupyter.client.connection.introduction import introduce
    from bacalhau_jupyter.client.connection.portal import shared_portal

    return shared_portal().run(introduce(endpoint))


def _speaks_tls(error: BacalhauError, endpoint: Endpoint) -> bool:
    from bacalhau_jupyter.client.connection.handshakes import speaks_tls

    return error.message == speaks_tls(endpoint.url).message


def _refused(error: Unauthorized, endpoint: Endpoint, name: str) -> Unauthorized:
    """Say how this cluster lets people in; nothing was saved or switched."""
    if endpoint.token or endpoint.basic:
        hint = "ask its administrator for a new one; nothing was changed here"
    else:
        hint = (
            f"%bacalhau connect {endpoint.url} with --token-file FILE or --user NAME; for a login page: "
            f"%bacalhau profile save {name} --endpoint {endpoint.url} --select, then %bacalhau auth login"
        )
    return Unauthorized(error.message, hint=hint, component=error.component)


def _token(token: str, token_file: str) -> str:
    if token == "-":
        return current().password("Token: ").strip()
    if token:
        click.echo(
            "Warning: this token stands in the line that was typed; --token - asks for it, --token-file FILE reads it",
            err=True,
        )
        return token
    if not token_file:
        return ""
    first = content_of(token_file, "--token-file", "token").strip().splitlines()[0]
    if not first.isprintable() or " " in first:
        raise BadRequest(f"--token-file: {readable(token_file)} does not begin with a token")
    return first


# ---- here and back


def _own() -> Result:
    _check_free()
    store = _store()
    was = store.current()
    store.deselect()
    current().chosen()
    here = f"Cells, panel and new terminals use your own node. Its data directory: {_repo().path}"
    return Text(f"{here}\n{current().program} connect --context {was} leads to {was} again" if was else here)


def _where() -> Result:
    from bacalhau_jupyter.config.choice.choice import fixed_by

    connected = current().peek(chosen_profile())
    if connected is None:
        return Text("No cluster is connected; your own node starts with the first job")
    endpoint = connected.endpoint
    lines = described(endpoint, _introduced(endpoint), endpoint.profile)
    if variable := fixed_by():
        lines.append(f"{variable} chooses it; connect switches only where that is not set")
    others = [name for name in _store().names() if name != endpoint.profile]
    if others:
        lines.append(
            f"saved connections: {', '.join(map(readable, others))} ({current().program} connect --context NAME)"
        )
    return Text("\n".join(lines))


def _check_free() -> None:
    from bacalhau_jupyter.config.choice.choice import fixed_by

    if variable := fixed_by():
        raise Conflict(
            f"{variable} chooses the cluster in this environment, and goes before what is saved",
            hint=f"unset {variable} (and start the kernel or Jupyter again where it was set for them)",
        )


def _repo() -> Repo:
    from bacalhau_jupyter.config.repo import Repo

    return Repo.open(without_directory(overrides())[1])


def _store() -> ProfileStore:
    from bacalhau_jupyter.config.profiles import ProfileStore

    return ProfileStore(_repo().profiles_dir)
