"""Builds policies and login methods from the configuration; a wrong one ends the start of the node."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.auth.policies.engine import BuiltInEngine, Engine, PolicyFailed
from bacalhau_jupyter.auth.policies.exact import OpaEngine
from bacalhau_jupyter.auth.policies.files import Policy, read_policy
from bacalhau_jupyter.auth.policies.hosting import DECISION, SCHEMA, TOKEN, VALID
from bacalhau_jupyter.auth.policies.methods import AskMethod, KeyMethod, Method, PolicyMethods, TokenPolicy
from bacalhau_jupyter.auth.policies.tokens import TokenKey
from bacalhau_jupyter.auth.policies.verdicts import AccessPolicy, Complaints
from bacalhau_jupyter.config.files import expanded
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import ConfigurationError

log = logging.getLogger(__name__)

BUILT_IN = "built-in"
CHALLENGE, ASK = "challenge", "ask"
_VALUES_NOT_KEYS = re.compile(r"input\.[\w.]+ in (\w+)\b")


@dataclass(frozen=True)
class PolicySettings:
    """What the configuration says about policies.

    Attributes
    ----------
    access_policy
        Path of the authorization policy; empty means none.
    methods
        Login methods: name → ``Type`` and ``PolicyPath``.
    engine
        Empty for the ``opa`` program where there is one, ``built-in``, or the program's path.
    key_file
        Where the node's key pair lies.
    node_id
        Who issues tokens.
    """

    access_policy: str
    methods: Mapping[str, object]
    engine: str
    key_file: Path
    node_id: str


@dataclass(frozen=True)
class Policies:
    """The policies of a node.

    Attributes
    ----------
    access
        None where nothing but sockets and keys decides about requests.
    methods
        How to log in.
    key
        Signs tokens.
    """

    access: AccessPolicy | None
    methods: PolicyMethods
    key: TokenKey


async def start_policies(settings: PolicySettings, clock: Clock, stack: AsyncExitStack) -> Policies:
    """Read, compile and start all policies; ``stack`` ends them.

    Raises
    ------
    ConfigurationError
        A file is missing or wrong, or a method has an unknown type.
    """
    key = TokenKey.load(settings.key_file, settings.node_id)
    access = None
    if settings.access_policy:
        policy = read_policy(settings.access_policy)
        engine = await _started(settings, policy, (DECISION, VALID), stack)
        access = AccessPolicy(engine, key, Complaints(policy.path, clock))
    methods: dict[str, Method] = {}
    for name, method in settings.methods.items():
        # Officially names are folded by the configuration, and so are paths.
        methods[_checked_name(name)] = await _method(settings, method, key, clock, stack)
    if access is None:
        log.warning(
            "API.Auth.Methods is set, but API.Auth.AccessPolicyPath is not: tokens of these methods open nothing, "
            "callers still need this machine's user or the API key"
        )
    return Policies(access, PolicyMethods(methods, key, clock), key)


async def _method(
    settings: PolicySettings, method: object, key: TokenKey, clock: Clock, stack: AsyncExitStack
) -> Method:
    members = folded(method) if isinstance(method, dict) else {}
    kind, path = members.get("type", ""), str(members.get("policypath") or "")
    match kind:
        case "challenge":
            if not path:
                return KeyMethod(key, None, clock)
            policy = read_policy(path)
            engine = await _started(settings, policy, (TOKEN,), stack)
            return KeyMethod(key, TokenPolicy(engine, key, Complaints(path, clock)), clock)
        case "ask":
            policy = read_policy(path)
            _warn_of_values(policy)
            engine = await _started(settings, policy, (TOKEN, SCHEMA), stack)
            return AskMethod(await _schema(engine, policy), TokenPolicy(engine, key, Complaints(path, clock)))
        case _:
            raise ConfigurationError(
                f'unknown authentication type: "{kind}"',
                hint="Type of a method in API.Auth.Methods is challenge or ask.",
            )


async def _schema(engine: Engine, policy: Policy) -> dict[str, object]:
    try:
        schema = await engine.ask(SCHEMA, None)
    except PolicyFailed as error:
        schema = None
        log.debug("schema of %s: %s", policy.path, error.message)
    if not isinstance(schema, dict):
        raise ConfigurationError(
            f"policy {policy.path} defines no object bacalhau.authn.schema, so the login has no form",
            hint="A policy of the type ask defines a rule schema, which does not depend on the input.",
        )
    return schema


async def _started(
    settings: PolicySettings, policy: Policy, rules: tuple[str, ...], stack: AsyncExitStack
) -> Engine:
    program = _program(settings.engine)
    engine: Engine = OpaEngine(program, policy) if program else BuiltInEngine(policy, rules)
    stack.push_async_callback(engine.close)
    await engine.start()
    log.info("policy %s is evaluated by %s", policy.path, program or "the built-in engine")
    return engine


def _program(setting: str) -> str:
    if setting.lower() == BUILT_IN:
        return ""
    if not setting:
        return shutil.which("opa") or ""
    program = shutil.which(str(expanded(setting)) if setting.startswith("~") else setting)
    if program is None:
        raise ConfigurationError(
            f"API.Auth.PolicyEngine: there is no program {setting}",
            hint=f"Give the path of `opa`, or {BUILT_IN}.",
        )
    return program


def _checked_name(name: str) -> str:
    lowered = name.lower()
    if not lowered.strip() or "/" in lowered:
        raise ConfigurationError(
            f"API.Auth.Methods: {name!r} can't be the name of a method",
            hint="Names are parts of paths.",
        )
    return lowered


def _warn_of_values(policy: Policy) -> None:
    """Warn of a mistake that the official example makes: ``in`` looks among the values of an object."""
    for name in _VALUES_NOT_KEYS.findall(policy.text):
        if re.search(rf"^{name}\s*:?=\s*\{{\s*(#[^\n]*\s*)*(\"[^\"]*\"\s*:|\}})", policy.text, re.MULTILINE):
            log.warning(
                "policy %s: `in %s` looks among the values of that object, not among its keys, so it never finds a "
                "name there; write `%s[...]` with the name instead (docs/policies.md)",
                policy.path,
                name,
                name,
            )
