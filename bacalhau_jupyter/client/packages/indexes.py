"""Where packages come from: what pip and uv are configured with, for the resolver's environment alone.

uv reads its own settings and netrc. pip's (``PIP_*``, pip.conf) are translated for it, where uv has none of the kind.
All of it is passed in the environment of one child process: never as an argument, never into a spec, lock or log.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bacalhau_jupyter.lib.masking import MASK, mask_secrets
from bacalhau_jupyter.lib.text import read_text

_KEPT = re.compile(
    r"UV_(INDEX|DEFAULT_INDEX|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX|INSECURE_HOST|NATIVE_TLS|SYSTEM_CERTS|KEYRING_PROVIDER"
    r"|HTTP_|REQUEST_TIMEOUT|OFFLINE|CONFIG_FILE|EXCLUDE_NEWER|PRERELEASE|RESOLUTION|CONCURRENT_)"
)
"""Settings of uv that say where packages come from, and which; others would change what we ask for."""
_NOT_FOR_UV = re.compile(r"(BACALHAU_|JUPYTER|JPY_|VIRTUAL_ENV$|CONDA_|PYTHON)")
_SECTIONS = ("global", "download", "install")
_SHORTEST_SECRET = 4


def resolver_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of the resolver."""
    source = dict(os.environ if environ is None else environ)
    result = {
        name: value
        for name, value in source.items()
        if not _NOT_FOR_UV.match(name) and (not name.startswith("UV_") or _KEPT.match(name))
    }
    pip = pip_settings(source)
    index_names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
    if pip.get("index-url") and not any(name in result for name in index_names):
        result["UV_DEFAULT_INDEX"] = pip["index-url"].split()[0]
    for setting, name, separator in (
        ("extra-index-url", "UV_EXTRA_INDEX_URL", " "),
        ("find-links", "UV_FIND_LINKS", ","),
        ("trusted-host", "UV_INSECURE_HOST", " "),
    ):
        if pip.get(setting) and name not in result:
            result[name] = separator.join(pip[setting].split())
    if pip.get("no-index", "").strip().lower() in ("1", "true", "yes", "on"):
        result.setdefault("UV_NO_INDEX", "1")
    if pip.get("cert") and "SSL_CERT_FILE" not in result:
        result["SSL_CERT_FILE"] = pip["cert"].strip()
    return result


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return pip's settings: of its files, the environment's above them."""
    settings: dict[str, str] = {}
    for path in _files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (OSError, configparser.Error, UnicodeDecodeError):
            continue
        for section in _SECTIONS:
            if parser.has_section(section):
                settings.update({name.replace("_", "-"): value for name, value in parser.items(section)})
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            settings[name[4:].lower().replace("_", "-")] = value
    return settings


def _files(environ: Mapping[str, str]) -> list[Path]:
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [
        Path("/etc/pip.conf"),
        Path("/etc/xdg/pip/pip.conf"),
        home / ".pip" / "pip.conf",
        home / "Library" / "Application Support" / "pip" / "pip.conf",
        config / "pip" / "pip.conf",
        Path(sys.prefix) / "pip.conf",
    ]
    return [*files, *([Path(named)] if named else [])]


def index_words(environment: Mapping[str, str]) -> list[str]:
    """Return the settings that decide what the resolver finds, without what is secret in them."""
    redact = Redactor(environment)
    return sorted(
        f"{name}={redact(value)}"
        for name, value in environment.items()
        if name.startswith("UV_") and not name.endswith(("_PASSWORD", "_USERNAME", "_TOKEN"))
    )


class Redactor:
    """Removes what is secret in a resolver's environment from what the resolver says."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        secrets: set[str] = set()
        for name, value in environment.items():
            if name.startswith(("UV_", "PIP_")):
                for url in re.split(r"[\s,]+", value):
                    secrets.update(_credentials(url))
                if name.endswith(("_PASSWORD", "_USERNAME", "_TOKEN")):
                    secrets.add(value)
        secrets.update(_of_netrc(environment))
        self._secrets = sorted(
            (each for each in secrets if len(each) >= _SHORTEST_SECRET), key=len, reverse=True
        )

    def __call__(self, text: str) -> str:
        """Return a text without secrets."""
        masked = mask_secrets(text)
        for secret in self._secrets:
            masked = masked.replace(secret, MASK)
        return masked


def _credentials(url: str) -> list[str]:
    try:
        parts = urlsplit(url.rpartition("=")[2] if "=" in url.partition("://")[0] else url)
    except ValueError:
        return []
    userinfo = parts.netloc.rpartition("@")[0]
    if not userinfo:
        return []
    user, _, password = userinfo.partition(":")
    # A name alone is a token; one with a password may be as harmless as "ci".
    secret = password or user
    return [secret, unquote(secret), userinfo]


def hosts_of_netrc(environment: Mapping[str, str]) -> set[str]:
    """Return the hosts for which the resolver's netrc has a password."""
    return {value for key, value in _netrc(environment) if key == "machine"}


def _of_netrc(environment: Mapping[str, str]) -> list[str]:
    return [value for key, value in _netrc(environment) if key == "password"]


def _netrc(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    place = environment.get("NETRC") or str(Path(environment.get("HOME") or "~").expanduser() / ".netrc")
    try:
        return list(pairwise(shlex.split(read_text(Path(place), "replace"), comments=True)))
    except (OSError, ValueError):
        return []
