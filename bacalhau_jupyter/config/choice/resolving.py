"""Which cluster a client talks to: what options, variables, files and saved connections say, in their order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.election import base_url, read_record
from bacalhau_jupyter.config.endpoint import Endpoint, basic_credential, endpoint_url, shown_endpoint
from bacalhau_jupyter.config.keys import KEYS
from bacalhau_jupyter.config.logins.files import METHODS_FILE, SIGN_ON_FILE, TokenFile
from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.config.repo import NODE_MARKER, Repo
from bacalhau_jupyter.config.words.table import OLD_VARIABLES
from bacalhau_jupyter.lib.nearby import is_listening, is_own_address
from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.errors import ConfigurationError

_ADDRESS_KEYS = ("API.Host", "API.Port")
_VARIABLES = (
    *(KEYS[name].variable for name in _ADDRESS_KEYS),
    *(
        name
        for name, word in OLD_VARIABLES.items()
        if word.values is not None and set(word.values("")) & set(_ADDRESS_KEYS)
    ),
)
"""Those that name the address, with their names in older versions."""


def resolve_endpoint(
    repo: Repo,
    context: str | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> Endpoint | None:
    """Find the cluster to talk to.

    In this order: the profile asked for (``context``); ``API.Host`` and ``API.Port`` among ``overrides``; the profile
    that ``BACALHAU_PROFILE`` names; ``BACALHAU_API_HOST/PORT`` set by the user; the current profile; ``API.Host`` and
    ``API.Port`` of ``config.yaml``, as far as another program listens there; the running node of the repo.

    Parameters
    ----------
    repo
        Repo directory of the caller.
    context
        Name of a saved profile.
    environ
        Environment; defaults to the process's own.
    overrides
        What ``-c`` got.

    Returns
    -------
    Endpoint or None
        None when nothing is configured and no node runs.

    Raises
    ------
    NotFound
        The profile asked for does not exist.
    ConfigurationError
        A profile or a variable is unusable.
    """
    environ = os.environ if environ is None else environ
    variables: Mapping[str, str] = {} if environ.get(NODE_MARKER) else environ
    profiles = ProfileStore(repo.profiles_dir)
    config = _client_config(repo, variables, overrides)
    if context:
        return _of_profile(repo, context, profiles.load(context), config, variables)
    if _is_set(config, "-c"):
        return _of_address(repo, config, variables, "-c")
    if named := environ.get("BACALHAU_PROFILE"):
        return _of_profile(repo, named, profiles.load(named), config, variables)
    if _is_set(config, *_VARIABLES):
        return _of_address(repo, config, variables, "environment")
    if current := profiles.current():
        return _of_profile(repo, current, profiles.load(current), config, variables)
    # Where the variables are a Jupyter server's (marked), the record is fresher: the node may have moved since.
    of_record = own_endpoint(repo)
    if any(config.source(name) != "default" for name in _ADDRESS_KEYS):
        configured = _of_address(repo, config, variables, config.source("API.Host"))
        if not is_own_address(configured.url):
            return configured
        # On this machine the file says where this directory's own node is to listen, too.
        return of_record or (configured if is_listening(configured.url) else None)
    return of_record


def own_endpoint(repo: Repo) -> Endpoint | None:
    """Return the running node of a repo directory; None where none runs."""
    record = read_record(repo)
    return Endpoint.of_record(repo, record) if record is not None and record.port else None


def endpoint_of_profile(
    repo: Repo, name: str, profile: Profile, environ: Mapping[str, str] | None = None
) -> Endpoint:
    """Return where a profile leads, with its credential or one of the environment; it need not be saved.

    Raises
    ------
    ConfigurationError
        The profile or a variable is unusable.
    """
    environ = os.environ if environ is None else environ
    variables: Mapping[str, str] = {} if environ.get(NODE_MARKER) else environ
    return _of_profile(repo, name, profile, _client_config(repo, variables, ()), variables)


def endpoint_of_url(
    repo: Repo, url: str, token: str | None = None, overrides: Sequence[str] = ()
) -> Endpoint:
    """Return the API at a URL that a program names; files and variables say how its certificate is checked.

    The node of ``repo`` is believed by what its own record says; its key is not sent unless it is ``token``.
    """
    url = url.rstrip("/")
    record = read_record(repo)
    if record is not None and record.url == url:
        files = (record.ca_file, record.certificate_file)
        return Endpoint(url, token, ca_file=files[0], certificate_file=files[1], source="argument")
    config = _client_config(repo, os.environ, overrides) if url.startswith("https:") else Config()
    return Endpoint(
        url,
        token,
        insecure=config["API.TLS.Insecure"],
        ca_file=config["API.TLS.CAFile"],
        source="argument",
    )


def _is_set(config: Config, *sources: str) -> bool:
    """Whether the address of the API comes from one of these sources."""
    return any(config.source(name) in sources for name in _ADDRESS_KEYS)


def _of_profile(
    repo: Repo, name: str, profile: Profile, config: Config, environ: Mapping[str, str]
) -> Endpoint:
    token, basic = _credentials(environ)
    secure = config["API.TLS.UseTLS"] or bool(profile.ca_file)
    url = endpoint_url(profile.endpoint, "https" if secure else "http")
    if config["API.TLS.UseTLS"] and url.startswith("http:"):
        # A key would leave this machine unencrypted although somebody asked for the contrary.
        raise ConfigurationError(
            f"profile {name} names {shown_endpoint(profile.endpoint)}, but API.TLS.UseTLS asks for HTTPS",
            hint="Save the profile with an https:// address, or set API.TLS.UseTLS to false.",
        )
    if not (token or basic):
        basic = "" if profile.token else basic_credential(profile.user, profile.password)
        token = "" if basic else profile.token or _login_token(repo, url, profile.endpoint)
    return Endpoint(
        url=url,
        token=token,
        basic=basic,
        insecure=profile.insecure or config["API.TLS.Insecure"],
        ca_file=profile.ca_file or config["API.TLS.CAFile"],
        source=f"profile {name}",
        timeout_s=profile.timeout_s,
        profile=name,
    )


def _of_address(repo: Repo, config: Config, environ: Mapping[str, str], source: str) -> Endpoint:
    secure = config["API.TLS.UseTLS"] or _flag(environ, "BACALHAU_HTTPS")
    url = base_url(config["API.Host"], config["API.Port"], "https" if secure else "http")
    token, basic = _credentials(environ)
    record = read_record(repo)
    # Whoever names the address of our own node need not know whether it is encrypted.
    if record is not None and _place(record.url) == _place(url) and not basic:
        return Endpoint.of_local(record, token or repo.api_key(), source)
    return Endpoint(
        url=url,
        token=token or ("" if basic else _login_token(repo, url)),
        basic=basic,
        insecure=config["API.TLS.Insecure"],
        ca_file=config["API.TLS.CAFile"],
        source=source,
    )


def _login_token(repo: Repo, *urls: str) -> str:
    """Return what a login left for an address, by ours or by the official CLI; empty when there is nothing."""
    files = [TokenFile(repo.path / name) for name in (SIGN_ON_FILE, METHODS_FILE)]
    return next((token for file in files for url in urls if (token := file.token(url))), "")


def _client_config(repo: Repo, environ: Mapping[str, str], overrides: Sequence[str]) -> Config:
    """Return what options, variables and the repo's config file (or one that an option names) say."""
    return Config.from_sources(environ=environ, flags={"DataDir": str(repo.path)}, overrides=overrides)


def _credentials(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return bearer token and basic credential; giving half of one, or both, is an error."""
    key = environ.get("BACALHAU_API_KEY", "")
    user, password = environ.get("BACALHAU_API_USERNAME", ""), environ.get("BACALHAU_API_PASSWORD", "")
    if bool(user) != bool(password):
        raise ConfigurationError("BACALHAU_API_USERNAME and BACALHAU_API_PASSWORD must be set together")
    if key and user:
        raise ConfigurationError("BACALHAU_API_KEY and BACALHAU_API_USERNAME can't both be set")
    return key, basic_credential(user, password)


def _flag(environ: Mapping[str, str], name: str) -> bool:
    return parse_truth(environ.get(name, "")) is True


def _place(url: str) -> str:
    return url.partition("://")[2]
