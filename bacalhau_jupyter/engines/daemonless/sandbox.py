"""One execution as bubblewrap is to build it: the image's tree, a layer to write to, and what the task gets of ours."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.engines.daemonless import COMPONENT, command, entry, placing
from bacalhau_jupyter.engines.daemonless.accounts import Account, NoUser, account
from bacalhau_jupyter.engines.daemonless.devices import in_image
from bacalhau_jupyter.engines.daemonless.devices.given import NOTHING, Given
from bacalhau_jupyter.engines.daemonless.signals import number_of
from bacalhau_jupyter.engines.daemonless.tree import NotFound, Tree
from bacalhau_jupyter.engines.daemonless.upper import Upper
from bacalhau_jupyter.engines.docker.files.hosts import CONTENT
from bacalhau_jupyter.engines.docker.params import docker_params, task_of
from bacalhau_jupyter.engines.images.contract import HeldImage
from bacalhau_jupyter.engines.network import holder
from bacalhau_jupyter.engines.network.doors import SOCKET
from bacalhau_jupyter.engines.network.rules import has_way_out
from bacalhau_jupyter.engines.network.variables import PORT
from bacalhau_jupyter.engines.supervised import host, sockets
from bacalhau_jupyter.engines.supervised.bubblewrap import binary, devices
from bacalhau_jupyter.engines.supervised.confinement import seccomp
from bacalhau_jupyter.engines.supervised.launch import Confined
from bacalhau_jupyter.engines.supervised.mounts import TooManyEntries
from bacalhau_jupyter.engines.supervised.supervisor.plan import ImageRoot
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.spec import NetworkType
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import RunRequest

CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETPCAP",
    "SETUID",
)
"""What root in a job may, over its own users, files and networks. Docker gives these and five more: two that a user
namespace makes void, and two that only help to attack the kernel or to leave a directory tree."""
_OPTIONS, _FILTER, _ENTRY, _STATUS, _GATE = 3, 4, 5, 6, 7
_VIEWS = ("/tmp", "/mnt", "/srv", "/var/tmp")
_FILE_LIMIT = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One execution to start.

    ``user`` is the job's uid, -1 for the node's own; ``scratch`` is private to it; ``program`` is bubblewrap;
    ``hardware`` is what it gets of its GPUs.
    """

    request: RunRequest
    image: HeldImage
    scratch: Path
    user: int
    program: str
    hardware: Given = NOTHING

    @property
    def network(self) -> NetworkType:
        """What the task asks for."""
        return task_of(self.request.execution).network.type

    @property
    def first_id(self) -> int:
        """What the image's user 0 is on this host; -1 where the job is the node's own user."""
        return host.image_ids(self.user).start if self.user >= 0 else -1


def confine_image(launch: Launch) -> Confined:
    """Work out how to start an execution; makes what it needs in the scratch directory. Blocks.

    Raises
    ------
    EngineError
        The image has no such user, program or directory, or the inputs can't be placed in it.
    NotPlaced, Changed, OSError
        As for `mounts.lay_out`.
    """
    config, params = launch.image.image.config, docker_params(task_of(launch.request.execution))
    tree = Tree(launch.image.tree, placing.COVERED)
    user = _account(config.user, tree, launch)
    name = _hostname(launch)
    start = command.directory(config, params)
    env = in_image.with_variables(
        command.environment(config, params, launch.request, name, user.home), launch.hardware, tree
    )
    argv = command.words(config, params)
    upper = Upper(launch.scratch / "upper", tree, launch.first_id)
    placed = placing.place(launch.request, tree, launch.hardware.mounts)
    _write_facts(upper, tree, launch, name)
    placed.make(upper, tree, start)
    in_image.make_links(launch.hardware, placed, upper, tree)
    upper.finish()
    path = command.resolve(argv, env, start, tree, placed.inputs)
    become = entry.User(user.uid, user.gid, user.groups) if launch.user >= 0 else None
    for each in ("lower", "work", "view"):
        (launch.scratch / each).mkdir(mode=0o700)
    view = next(each for each in _VIEWS if not launch.program.startswith(f"{each}/") and Path(each).is_dir())
    image = ImageRoot(
        tree=str(launch.image.tree),
        directory=str(launch.scratch),
        first_id=launch.first_id,
        owner=launch.user,
        view=view,
        mounts=[],
    )
    arguments = [
        *_namespaces(launch, user, name),
        "--bind",
        f"{view}/image",
        "/",
        *_base(launch, image),
        *placed.binds(image),
        *(option for each in sockets.covers(placed.inputs) for option in ("--ro-bind", "/dev/null", each)),
        "--chdir",
        start,
        "--seccomp",
        str(_FILTER),
        "--json-status-fd",
        str(_STATUS),
    ]
    if has_way_out(launch.request):
        arguments += ["--block-fd", str(_GATE)]
    program = entry.program(path, argv, env, become)
    files = [
        binary.write(launch.scratch / "options", os.fsencode("\0".join([*arguments, ""]))),
        binary.write(launch.scratch / "filter", seccomp.program(_profile(launch, placed.inputs))),
        binary.write(launch.scratch / "entry", program),
    ]
    if len(arguments) > binary.MAX_WORDS:
        raise TooManyEntries(
            f"{len(image['mounts'])} files and directories would have to be mounted one by one"
        )
    # The job's user executes it through its descriptor; the directory is closed to everybody else.
    (launch.scratch / "entry").chmod(0o555)
    return Confined(
        argv=[launch.program, "--args", str(_OPTIONS), "--", f"/proc/self/fd/{_ENTRY}"],
        cwd="/",
        env={},
        prints_as=launch.first_id + user.uid if launch.user >= 0 else -1,
        sandbox_files=files,
        status=True,
        image=image,
        written=[str(launch.scratch / "upper")],
        stop_signal=_stop_signal(config.stop_signal),
        holder=holder.program(SOCKET, PORT) if has_way_out(launch.request) else b"",
    )


def limits_processes() -> bool:
    """Whether the processes of a job can be limited without those of others counting."""
    return host.is_root() or host.counts_processes_apart()


def _stop_signal(text: str) -> int:
    number = number_of(text)
    return 0 if number == signal.SIGTERM else number


def _account(spec: str, tree: Tree, launch: Launch) -> Account:
    try:
        named = account(spec, tree)
    except NoUser as reason:
        raise _failed(f"failed to start container: {reason}") from None
    if launch.user >= 0 and max(named.uid, named.gid, *named.groups) >= host.IMAGE_IDS:
        raise _failed(
            f"the image's user {spec} is not one of the {host.IMAGE_IDS} users that a job has without a Docker Engine"
        )
    return named


def _hostname(launch: Launch) -> str:
    if launch.network is NetworkType.HOST:
        return socket.gethostname()
    identity = f"{launch.request.node_id}/{launch.request.execution.id}"
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def _namespaces(launch: Launch, user: Account, name: str) -> list[str]:
    arguments = ["--die-with-parent", "--new-session", "--unshare-ipc", "--unshare-pid", "--as-pid-1"]
    arguments += ["--unshare-cgroup-try", "--unshare-uts", "--hostname", name]
    if launch.network is not NetworkType.HOST:
        arguments.append("--unshare-net")
    arguments += ["--cap-drop", "ALL"]
    if launch.user < 0 and (user.uid, user.gid) != (0, 0):
        arguments += ["--unshare-user", "--uid", str(user.uid), "--gid", str(user.gid)]
    if launch.user >= 0 or user.uid == 0:
        arguments += [option for each in CAPABILITIES for option in ("--cap-add", f"CAP_{each}")]
    return arguments


def _base(launch: Launch, image: ImageRoot) -> list[str]:
    files = []
    for path, place in launch.hardware.files:
        real = path.resolve()
        facts = real.stat()
        # As all that is shown: opened before the user changes, and where nothing of the host's /tmp covers it.
        files.append((f"{image['view']}/{len(image['mounts'])}", place))
        image["mounts"].append((str(real), facts.st_dev, facts.st_ino, False))
    # The names of the user's keys; a kernel may have none.
    keys = ["--ro-bind", "/dev/null", "/proc/keys"] if Path("/proc/keys").exists() else []
    memory = binary.shared_memory(launch.request.resources.memory)
    processors = ["--ro-bind", host.CPU_FACTS, host.CPU_FACTS] if Path(host.CPU_FACTS).exists() else []
    return [
        *("--proc", "/proc", *keys, "--dev", "/dev"),
        *devices.file_options(files),
        *devices.link_options(link for link in launch.hardware.links if placing.within(link[1], "/dev")),
        *("--perms", "1777", "--size", str(memory), "--tmpfs", "/dev/shm"),
        # It is in memory, and bubblewrap gives it no size.
        *("--remount-ro", "/dev"),
        *("--size", str(_FILE_LIMIT), "--tmpfs", "/sys", *processors),
        *devices.fact_options(launch.hardware.facts),
        *("--remount-ro", "/sys"),
    ]


def _profile(launch: Launch, inputs: Sequence[InputMount]) -> seccomp.Profile:
    families: tuple[int, ...] = (seccomp.AF_INET, seccomp.AF_INET6, seccomp.AF_NETLINK)
    # Abstract sockets of this host live in its network namespace.
    if launch.network is not NetworkType.HOST and not sockets.uncovered(inputs):
        families += (seccomp.AF_UNIX,)
    return seccomp.Profile(families)


def _write_facts(upper: Upper, tree: Tree, launch: Launch, name: str) -> None:
    """Write the files that say where the task is in its network; it may change them."""
    is_host = launch.network is NetworkType.HOST
    texts = {
        "/etc/hostname": f"{name}\n",
        "/etc/hosts": _of_host("/etc/hosts") if is_host else CONTENT.decode(),
        "/etc/resolv.conf": _of_host("/etc/resolv.conf") if is_host else "",
    }
    for path, text in texts.items():
        # An image whose /etc is no directory has no use for them.
        with contextlib.suppress(NotFound):
            upper.write(tree.find(path), text)


def _of_host(path: str) -> str:
    try:
        return read_text(Path(path), errors="replace")[:_FILE_LIMIT]
    except OSError:
        return ""


def _failed(message: str) -> EngineError:
    return EngineError(message, component=COMPONENT, fails_execution=True)
