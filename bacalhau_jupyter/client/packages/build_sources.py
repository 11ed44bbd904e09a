"""Where a build inside a job may fetch from: the configured indexes, none of which may need a credential.

A job's specification can be read by others, and the code of a source package reads all that its job sees.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from bacalhau_jupyter.client.packages.failures import COMPONENT
from bacalhau_jupyter.client.packages.indexes import Redactor, hosts_of_netrc
from bacalhau_jupyter.lib.masking import mask_secrets
from bacalhau_jupyter.lib.nearby import is_near
from bacalhau_jupyter.models.errors import BadRequest

_WAY_OUT = "%pip install NAME builds it for this kernel; an image may hold it (--image)"
_CREDENTIALS = re.compile(r"UV_INDEX_\w+_(USERNAME|PASSWORD)")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_MAX_CERTIFICATES = 4_000_000
_INDEX_KEYS = ("index", "index-url", "default-index", "extra-index-url", "no-index", "find-links")


@dataclass(frozen=True)
class BuildSources:
    """Where a build fetches from.

    Attributes
    ----------
    indexes
        URLs; the first one that has a package is the one it comes from. Empty: pip's own.
    options
        Further arguments of pip.
    proxies
        Environment variables that name the proxies.
    certificates
        A file of certificate authorities to trust; None for pip's own.
    """

    indexes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    proxies: Mapping[str, str] = field(default_factory=dict)
    certificates: Path | None = None

    @property
    def on_this_machine(self) -> bool:
        """Whether one of them is reached on the loopback interface only."""
        return any(is_near(word) for word in (*self.indexes, *self.options) if "://" in word)


def build_sources(environment: Mapping[str, str]) -> BuildSources:
    """Return the sources that a resolver's environment names.

    Raises
    ------
    BadRequest
        One of them needs a credential, or is not one that a job can reach.
    """
    redact = Redactor(environment)
    if any(_CREDENTIALS.fullmatch(name) for name in environment):
        raise _needs_credential("an index")
    default = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL") or ""
    named = f"{environment.get('UV_INDEX', '')} {environment.get('UV_EXTRA_INDEX_URL', '')}".split()
    if not default and not named:
        _refuse_settings_files(environment)
    extra = [re.sub(r"^[\w.-]+=(?=https?://)", "", url) for url in named]
    links = [url for url in re.split(r"[\s,]+", environment.get("UV_FIND_LINKS", "")) if "://" in url]
    with_password = hosts_of_netrc(environment)
    for url in (*extra, default, *links):
        if url:
            _check(url, redact, with_password)
    options = [word for url in links for word in ("--find-links", url)]
    for host in re.split(r"[\s,]+", environment.get("UV_INSECURE_HOST", "")):
        options += ["--trusted-host", host] if host else []
    if environment.get("UV_NO_INDEX", "").lower() in ("1", "true", "yes", "on"):
        if not links:
            raise BadRequest(
                "no index is configured that a job could fetch a source package from",
                component=COMPONENT,
                hint=_WAY_OUT,
            )
        return _with_ways(BuildSources((), (*options, "--no-index")), environment)
    indexes = [*extra, default or "https://pypi.org/simple"] if extra else [default] if default else []
    return _with_ways(BuildSources(tuple(indexes), tuple(options)), environment)


def _with_ways(sources: BuildSources, environment: Mapping[str, str]) -> BuildSources:
    """Add proxies without a password, and whom an organisation trusts."""
    proxies = {name: environment[name] for name in _PROXIES if environment.get(name)}
    proxies = {name: url for name, url in proxies.items() if "@" not in url and mask_secrets(url) == url}
    return replace(sources, proxies=proxies, certificates=_certificates(environment.get("SSL_CERT_FILE", "")))


def _certificates(name: str) -> Path | None:
    """Return a file of certificates; what holds a key, too, stays here."""
    try:
        with Path(name).open("rb") as file:
            data = file.read(_MAX_CERTIFICATES + 1)
    except OSError:
        return None
    is_public = b"BEGIN CERTIFICATE" in data and b"PRIVATE KEY" not in data
    return Path(name) if is_public and len(data) <= _MAX_CERTIFICATES else None


def _check(url: str, redact: Redactor, with_password: set[str]) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise BadRequest("the address of an index can't be read", component=COMPONENT) from None
    if parts.scheme not in ("http", "https") or not host:
        raise BadRequest(
            "a job can't fetch a source package from an index on this disk",
            component=COMPONENT,
            hint=f"an index that is reached by https:// can be used; {_WAY_OUT}",
        )
    if "@" in parts.netloc or parts.query or redact(url) != url or host in with_password:
        raise _needs_credential(f"the index {host}")


def _needs_credential(what: str) -> BadRequest:
    return BadRequest(
        f"{what} needs a credential, and a job that builds a package must not have one",
        component=COMPONENT,
        hint=_WAY_OUT,
    )


def _refuse_settings_files(environment: Mapping[str, str]) -> None:
    """Refuse what only uv reads: pip would take the package from another index."""
    for path in _settings_files(environment):
        try:
            with path.open("rb") as file:
                settings = tomllib.load(file)
        except (OSError, tomllib.TOMLDecodeError):
            continue
        inner = settings.get("pip")
        tables = [settings, inner if isinstance(inner, dict) else {}]
        if any(key in table for table in tables for key in _INDEX_KEYS):
            raise BadRequest(
                f"{path} names the index, and only uv reads it",
                component=COMPONENT,
                hint="name the index for a build as UV_DEFAULT_INDEX or PIP_INDEX_URL",
            )


def _settings_files(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environment.get("HOME") or "~").expanduser()
    if named := environment.get("UV_CONFIG_FILE"):
        yield Path(named)
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "uv" / "uv.toml"
    yield Path("/etc/uv/uv.toml")
