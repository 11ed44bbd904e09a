"""Where a login is kept: in a profile and in a file of tokens, as the official CLI does; a log-out clears both."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from bacalhau_jupyter.config.endpoint import Endpoint, endpoint_url
from bacalhau_jupyter.config.logins.files import METHODS_FILE, SIGN_ON_FILE, TokenFile
from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.errors import BacalhauError

_NOT_IN_NAMES = re.compile(r"[:/.\-]+")


class Logins:
    """The logins of a repo directory.

    Parameters
    ----------
    repo
        Of the client.
    """

    def __init__(self, repo: Repo) -> None:
        self._profiles = ProfileStore(repo.profiles_dir)
        self._sign_on = TokenFile(repo.path / SIGN_ON_FILE)
        self._methods = TokenFile(repo.path / METHODS_FILE)

    def sign_on_token(self, endpoint: Endpoint) -> str:
        """Return the token of single sign-on for an endpoint; empty when there is none."""
        profile = self._own_profile(endpoint)
        return self._sign_on.token(endpoint.url) or (profile.token if profile is not None else "")

    def keep_sign_on(self, endpoint: Endpoint, token: str) -> str:
        """Keep a token of single sign-on; return the name of the profile that has it (empty: none could be had).

        Without a profile for the endpoint one is made, and used from now on where none is, as officially; a node
        of this machine needs none for that.
        """
        self._sign_on.keep(endpoint.url, token)
        name = endpoint.profile or profile_name(endpoint.url)
        if name in self._profiles.names():
            profile = self._profiles.load(name)
            if endpoint.url not in (_urls(profile) if name == endpoint.profile else _urls(profile)[:1]):
                # A profile of that name for another cluster: its token must go nowhere else.
                return ""
        else:
            authority = str(Path(endpoint.ca_file).absolute()) if endpoint.ca_file else ""
            profile = Profile(endpoint=endpoint.url, insecure=endpoint.insecure, ca_file=authority)
        self._profiles.change(name, lambda now: replace(now or profile, token=token))
        if self._profiles.current() is None and not endpoint.embedded:
            self._profiles.select(name)
        return name

    def keep(self, endpoint: Endpoint, token: str) -> str:
        """Keep a token of a login method, in the endpoint's profile, too, where it has one; return its name."""
        self._methods.keep(endpoint.url, token)
        profile = self._own_profile(endpoint)
        if profile is None:
            return ""
        self._profiles.change(endpoint.profile, lambda now: replace(now or profile, token=token))
        return endpoint.profile

    def forget(self, endpoint: Endpoint) -> bool:
        """Remove each token for an endpoint, wherever it is; False when there was none."""
        gone = [self._sign_on.forget(endpoint.url), self._methods.forget(endpoint.url)]
        for name in self._profiles.names():
            try:
                profile = self._profiles.load(name)
                if not profile.token or endpoint.url not in _urls(profile):
                    continue
            except BacalhauError:
                # A damaged profile of another cluster must not keep anybody logged in to this one.
                continue
            self._profiles.save(name, replace(profile, token=""))
            gone.append(True)
        return any(gone)

    def _own_profile(self, endpoint: Endpoint) -> Profile | None:
        return self._profiles.load(endpoint.profile) if endpoint.profile else None


def profile_name(url: str) -> str:
    """Return what the official CLI calls the profile that a login at a URL makes."""
    parts = urlsplit(url)
    name = f"{parts.hostname or url}_{parts.port}" if parts.port else parts.hostname or url
    return re.sub("_+", "_", _NOT_IN_NAMES.sub("_", name)).strip("_") or "default"


def _urls(profile: Profile) -> list[str]:
    """Return the URLs that a profile may stand for, first the one that its own members name.

    Without a scheme in the address, ``API.TLS.UseTLS`` of the moment may turn it into the other one.
    """
    schemes = ("https", "http") if profile.ca_file else ("http", "https")
    return [endpoint_url(profile.endpoint, scheme) for scheme in schemes]
