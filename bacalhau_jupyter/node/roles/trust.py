"""Whose credentials a node accepts, as its configuration says."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from bacalhau_jupyter.auth.credentials import Authenticator
from bacalhau_jupyter.auth.node_key import NodeKey
from bacalhau_jupyter.auth.sso.keys import KeySet
from bacalhau_jupyter.auth.sso.settings import NAMES, SignOn
from bacalhau_jupyter.auth.sso.tokens import NoSignOn, TokenAuthenticator
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.node.roles.stopping import bounded

log = logging.getLogger(__name__)


def authenticators(config: Config, key: str, clock: Clock, stack: AsyncExitStack) -> list[Authenticator]:
    """Return who knows credentials here, in the order in which they are asked.

    Parameters
    ----------
    key
        The node's own key, which is worth as much as its owner.
    clock
        Ends what they remember.
    stack
        Closes what they hold.
    """
    known: list[Authenticator] = [NodeKey(key)]
    single_sign_on = sign_on(config)
    if single_sign_on is not None:
        known.append(_by_tokens(single_sign_on, clock, stack))
    elif config["API.Auth.Users"]:
        known.append(NoSignOn())
    return known


def sign_on(config: Config) -> SignOn | None:
    """Return the node's single sign-on; raises ConfigurationError where it is configured by halves."""
    return SignOn.of({name: config[f"API.Auth.Oauth2.{name}"] for name in NAMES})


def _by_tokens(single_sign_on: SignOn, clock: Clock, stack: AsyncExitStack) -> TokenAuthenticator:
    for sentence in single_sign_on.warnings:
        log.warning("%s", sentence)
    keys = KeySet(single_sign_on.jwks_uri, clock)
    stack.push_async_callback(bounded, "keys of the identity provider", keys.close)
    keys.start()
    return TokenAuthenticator(single_sign_on, keys)
