"""Whose credentials a node accepts, as its configuration says."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack

from bacalhau_jupyter.auth.credentials import Authenticator
from bacalhau_jupyter.auth.node_key import NodeKey
from bacalhau_jupyter.auth.policies.starting import Policies, PolicySettings, start_policies
from bacalhau_jupyter.auth.sso.keys import KeySet
from bacalhau_jupyter.auth.sso.settings import NAMES, SignOn
from bacalhau_jupyter.auth.sso.tokens import NoSignOn, TokenAuthenticator, require_library
from bacalhau_jupyter.auth.users.authenticator import ConfiguredUsers
from bacalhau_jupyter.auth.users.hashes import cost_of
from bacalhau_jupyter.auth.users.records import User, principals_of, read_users
from bacalhau_jupyter.config import identity
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.keys import KEYS
from bacalhau_jupyter.config.passwords import bcrypt_library
from bacalhau_jupyter.config.quotas import quotas_of
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.records.quotas import Quotas
from bacalhau_jupyter.node.roles.stopping import bounded

log = logging.getLogger(__name__)

_CONFIGURED = ("user:", "key:")
"""Begin the names of principals that stand in the configuration."""
_OLD = ("API.Auth.Methods", "API.Auth.AccessPolicyPath")


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
    if not has_new_authentication(config):
        return known
    users = ConfiguredUsers(users_of(config), clock)
    stack.callback(users.close)
    single_sign_on = sign_on(config)
    return [
        *known,
        users,
        NoSignOn() if single_sign_on is None else _by_tokens(single_sign_on, clock, stack),
    ]


def users_of(config: Config) -> list[User]:
    """Return the users of a configuration; raises ConfigurationError where one breaks a rule."""
    return read_users(config["API.Auth.Users"])


def sign_on(config: Config) -> SignOn | None:
    """Return the node's single sign-on; raises ConfigurationError where it is configured by halves."""
    return SignOn.of({name: config[f"API.Auth.Oauth2.{name}"] for name in NAMES})


def has_new_authentication(config: Config) -> bool:
    """Whether callers say with each request who they are, without the older exchange of a login for a token."""
    return bool(config["API.Auth.Users"]) or sign_on(config) is not None


def knows_others(config: Config) -> bool:
    """Whether others than the node's owner have credentials of their own."""
    return has_new_authentication(config) or bool(config["API.Auth.AccessPolicyPath"])


async def policies(
    config: Config, repo: Repo, node_id: str, clock: Clock, stack: AsyncExitStack
) -> Policies | None:
    """Start the policies of a configuration; None where it has none.

    Raises
    ------
    ConfigurationError
        A policy can't be read or does not compile, or a login method has an unknown type.
    """
    if has_new_authentication(config) or all(config[name] == KEYS[name].default for name in _OLD):
        return None
    settings = PolicySettings(
        access_policy=config["API.Auth.AccessPolicyPath"],
        methods=config["API.Auth.Methods"],
        engine=config["API.Auth.PolicyEngine"],
        key_file=repo.path / identity.FILE_NAME,
        node_id=node_id,
    )
    return await start_policies(settings, clock, stack)


def check_authentication(config: Config) -> None:
    """Refuse a configuration whose parts are wrong, or contradict each other.

    Raises
    ------
    ConfigurationError
        A user breaks a rule, single sign-on is configured by halves, or both the newer and the older way to
        authenticate are configured.
    """
    users = users_of(config)
    if any(cost_of(user.password) for user in users):
        bcrypt_library()
    old = [name for name in _OLD if config[name] != KEYS[name].default]
    if old and has_new_authentication(config):
        raise ConfigurationError(
            "mixing old and new auth mechanisms not supported. when Users or Oauth2 is defined in API.Auth, Methods "
            "and AccessPolicyPath must be empty",
            hint=f"remove {' and '.join(old)}, or what is newer",
            component="Config",
        )
    if sign_on(config) is not None:
        require_library()
    _check_quotas(config, users)


def _check_quotas(config: Config, users: Sequence[User]) -> None:
    """Refuse a quota for a user that is not configured: a name with a slip would leave its bearer without a limit."""
    known_names = {principal.name.lower() for principal in principals_of(users)}
    quotas = quotas_of(config)
    for name in quotas.own:
        if name.startswith(_CONFIGURED) and name not in known_names:
            raise ConfigurationError(
                f"API.Quotas.Principals names {name}, and API.Auth.Users has no such user",
                hint=f"it has {', '.join(sorted(known_names)) or 'none'}",
                component="Config",
            )
    if quotas != Quotas() and not knows_others(config):
        log.warning("API.Quotas limits nobody: this node knows no users, and its owner has no quota")


def _by_tokens(single_sign_on: SignOn, clock: Clock, stack: AsyncExitStack) -> TokenAuthenticator:
    for sentence in single_sign_on.warnings:
        log.warning("%s", sentence)
    keys = KeySet(single_sign_on.jwks_uri, clock)
    stack.push_async_callback(bounded, "keys of the identity provider", keys.close)
    keys.start()
    return TokenAuthenticator(single_sign_on, keys)
