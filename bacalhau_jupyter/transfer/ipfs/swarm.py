"""Private IPFS swarms: nodes that share a key.

Results in such a swarm are read through a node of it (whose RPC API is configured), or, where there is none on this
machine, through a short-lived node of our own: the `ipfs` command with a fresh repository, the key, and connections
to the given addresses only.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.lib.programs.calls import call, end
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.lib.threads.directories import new_directory
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError, NetworkFailure, TimedOut
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.ipfs.node import IpfsNode

COMPONENT = "IPFSSwarm"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.05
_KEY_HEAD = "/key/swarm/psk/1.0.0/"
_PEER_ADDRESS = re.compile(r"/[a-z0-9]+/\S+/(?:p2p|ipfs)/[A-Za-z0-9]+")
_LOG_LINES = 3


@dataclass(frozen=True)
class IpfsSwarm:
    """Where the nodes of a swarm are, and the file with its key.

    Attributes
    ----------
    addresses
        Multiaddresses with ``/p2p/PEER`` (``ResultDownloaders.Types.IPFS.SwarmAddresses``).
    key_file
        As Kubo keeps it (``swarm.key``); None for a swarm without a key.
    """

    addresses: tuple[str, ...] = ()
    key_file: Path | None = None

    @classmethod
    def of(cls, addresses: Sequence[str], key_file: str = "") -> IpfsSwarm:
        """Check what a person wrote.

        Raises
        ------
        ConfigurationError
            An address names no peer.
        """
        for address in addresses:
            if not _PEER_ADDRESS.fullmatch(address.strip()):
                raise ConfigurationError(
                    f"the IPFS swarm address {address[:200]!r} names no peer",
                    hint="write it like /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…; `ipfs id` prints it",
                )
        key = Path(key_file).expanduser() if key_file.strip() else None
        return cls(tuple(address.strip() for address in addresses), key)


async def connect(node: IpfsNode, addresses: Sequence[str]) -> None:
    """Let a node connect to peers, all at a time; one that answers is enough.

    Raises
    ------
    NetworkFailure
        None of them could be reached.
    """
    answers = await asyncio.gather(*(node.connect(address) for address in addresses), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    for failure in failures:
        if not isinstance(failure, BacalhauError):
            raise failure
    if failures and len(failures) == len(answers):
        raise NetworkFailure(
            f"no node of the IPFS swarm can be reached from {node.endpoint}: {failures[0]}",
            hint="check that the addresses are right and that this side has the swarm's key",
        )


@asynccontextmanager
async def swarm_endpoint(endpoint: str, swarm: IpfsSwarm) -> AsyncIterator[str]:
    """Yield the RPC endpoint to read through; it is connected to the swarm.

    Parameters
    ----------
    endpoint
        A configured node, or ``""``: then a node of our own runs for the duration.

    Raises
    ------
    BacalhauError
        There is neither a node nor the `ipfs` command, or no node of the swarm can be reached.
    """
    async with AsyncExitStack() as stack:
        if not endpoint.strip():
            endpoint = await stack.enter_async_context(_own_node(swarm))
        if swarm.addresses:
            async with IpfsNode(endpoint, COMPONENT) as node:
                await connect(node, swarm.addresses)
        yield endpoint


@asynccontextmanager
async def _own_node(swarm: IpfsSwarm) -> AsyncIterator[str]:
    """Run `ipfs daemon` on any loopback port with a repository that is removed at the end."""
    program = shutil.which("ipfs")
    if program is None or not swarm.addresses:
        raise ConfigurationError(
            "results in IPFS are read through an IPFS node, and none is configured",
            hint="set ResultDownloaders.Types.IPFS.Endpoint to its RPC API (/ip4/127.0.0.1/tcp/5001), or install "
            "`ipfs` and set ResultDownloaders.Types.IPFS.SwarmAddresses and SwarmKey",
        )
    directory = await new_directory("bacalhau-ipfs-")
    try:
        repo = directory / "repo"
        env = {name: value for name, value in os.environ.items() if not name.startswith(("IPFS_", "LIBP2P_"))}
        env["IPFS_PATH"] = str(repo)
        # Loopback, any port, no bootstrap, nobody looked for.
        await _run(program, "init", "--empty-repo", "--profile=test", env=env)
        if swarm.key_file is not None:
            await asyncio.to_thread(_copy_key, swarm.key_file, repo / "swarm.key")
            env["LIBP2P_FORCE_PNET"] = "1"
        async with _daemon(program, repo, env) as endpoint:
            yield endpoint
    finally:
        await asyncio.to_thread(remove_tree, directory)


@asynccontextmanager
async def _daemon(program: str, repo: Path, env: Mapping[str, str]) -> AsyncIterator[str]:
    log = await asyncio.to_thread((repo.parent / "log").open, "wb")
    with log:
        process = await asyncio.create_subprocess_exec(
            program, "daemon", stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=dict(env)
        )
    try:
        yield await _wait_for_api(process, repo)
    finally:
        await end(process, _STOP_TIMEOUT_S)


async def _wait_for_api(process: asyncio.subprocess.Process, repo: Path) -> str:
    """Return the endpoint once it answers."""
    api = repo / "api"
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while process.returncode is None:
                # The daemon writes this file when it listens; there is nothing that would tell us.
                text = await asyncio.to_thread(_read, api)
                if text:
                    async with IpfsNode(text, COMPONENT) as node:
                        await node.identity()
                    return text
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise TimedOut(f"`ipfs daemon` did not start within {_START_TIMEOUT_S:g} s") from error
    lines = (await asyncio.to_thread(_read, repo.parent / "log")).splitlines()
    raise NetworkFailure(
        f"`ipfs daemon` ended at once: {' / '.join(lines[-_LOG_LINES:]) or 'it printed nothing'}",
    )


async def _run(program: str, *arguments: str, env: Mapping[str, str]) -> None:
    try:
        done = await call([program, *arguments], env, timeout_s=_START_TIMEOUT_S)
    except TimeoutError as error:
        raise TimedOut(f"`ipfs {arguments[0]}` did not end within {_START_TIMEOUT_S:g} s") from error
    if done.status:
        words = (done.stdout + done.stderr).strip().splitlines()
        raise ConfigurationError(f"`ipfs {arguments[0]}` failed: {words[-1] if words else done.status}")


def _copy_key(source: Path, target: Path) -> None:
    """Copy a swarm key to a file that only we can read."""
    try:
        text = read_text(source)
    except OSError as error:
        raise io_failure(error, "read the swarm key", source, COMPONENT) from error
    except UnicodeDecodeError:
        text = ""
    if not text.startswith(_KEY_HEAD):
        raise ConfigurationError(
            f"{source} is not an IPFS swarm key",
            hint=f"its first line must be {_KEY_HEAD}",
        )
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii", newline="") as file:
        file.write(text)


def _read(path: Path) -> str:
    try:
        return read_text(path, errors="replace").strip()
    except OSError:
        return ""
