"""The start of the node's audit log."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from bacalhau_jupyter.auth.audit.files import AuditFile
from bacalhau_jupyter.auth.audit.log import AuditLog
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.reserve import is_full
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.roles.trust import knows_others
from bacalhau_jupyter.node.settings import audit_dir

FILE_NAME = "audit.jsonl"
SMALLEST = 4096
"""Bytes that a file must be allowed: some lines have to fit."""


def is_audited(config: Config) -> bool:
    """Whether a node writes down who did what: by default, where others than its owner may call."""
    enabled = config["API.Audit.Enabled"]
    if enabled != "auto":
        return bool(enabled == "true")
    return knows_others(config)


async def start_audit(
    stack: AsyncExitStack, config: Config, repo: Repo, clock: Clock, problems: Problems
) -> AuditLog | None:
    """Open the log; None where nothing is written down.

    Raises
    ------
    ConfigurationError
        It can't be written, and not because the disk is full: who asks for a log must not be left without one.
    """
    if not is_audited(config):
        return None
    limit, kept = config["API.Audit.MaxSize"], config["API.Audit.MaxFiles"]
    if limit < SMALLEST or kept < 0:
        raise ConfigurationError(
            f"API.Audit.MaxSize must be {SMALLEST} or more, and API.Audit.MaxFiles 0 or more",
            component="Config",
        )
    directory = audit_dir(config, repo)
    file = AuditFile(directory / FILE_NAME, limit, kept)
    try:
        await asyncio.to_thread(_open, directory, file)
    except OSError as error:
        if not is_full(error):
            raise ConfigurationError(
                f"the audit log {directory / FILE_NAME} can't be written: {error.strerror}",
                hint="set API.Audit.Directory to a directory of the node's user, or API.Audit.Enabled=false",
                component="Config",
            ) from error
    audit = AuditLog(file, clock, problems)
    stack.push_async_callback(asyncio.to_thread, audit.close)
    return audit


def _open(directory: Path, file: AuditFile) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.open()
