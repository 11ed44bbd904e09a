"""Tier 1: namespaces by ``bubblewrap``. The file tree is built up from nothing; file access runs at native speed.

A node of an ordinary user gets a user namespace. A node of root can't use one (its jobs would still be root for the
files of this host): bubblewrap mounts with root's rights, and ``setpriv`` gives them up inside, for good.
"""

from __future__ import annotations

import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path

from bacalhau_jupyter.engines.network import holder
from bacalhau_jupyter.engines.network.doors import SOCKET
from bacalhau_jupyter.engines.network.rules import has_way_out
from bacalhau_jupyter.engines.network.variables import PORT
from bacalhau_jupyter.engines.process.launch import Launch, environment, program
from bacalhau_jupyter.engines.process.tiers import accounts, shown
from bacalhau_jupyter.engines.supervised import host, sockets, staging
from bacalhau_jupyter.engines.supervised.bubblewrap import binary, devices
from bacalhau_jupyter.engines.supervised.confinement import seccomp
from bacalhau_jupyter.engines.supervised.launch import INPUTS, OUTPUTS, Confined, user_name
from bacalhau_jupyter.engines.supervised.mounts import Mount, Pin, TooManyEntries, lay_out
from bacalhau_jupyter.engines.supervised.supervisor import confine
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.contract import InputMount

JOB_DIRECTORY = "/job"
HOME = "/tmp"
_ADVICE = (
    "bacalhau: this job shares the host's network and therefore has no local sockets (multiprocessing's managers and "
    "forkserver): use fork or spawn with queues and pools, or run it without the network or in a container (--image)"
)
# Inherited by programs that run before the job's user is taken on, where they must not steer anything.
_LOADER_VARIABLES = ("LD_", "GLIBC_", "GCONV_PATH", "LOCPATH", "MALLOC_", "NLSPATH")


class Bubblewrap:
    """Mount, pid, network, IPC and UTS namespaces."""

    mounts = True
    has_networks = True

    def __init__(self) -> None:
        self._binary = binary.find()
        self._binds_descriptors = "--ro-bind-fd" in binary.said(self._binary, "--help")
        self._setpriv = shutil.which("setpriv", path="/usr/bin:/bin") if host.is_root() else None
        self.label = f"bubblewrap {binary.version(self._binary)}".strip() if self._binary else "bubblewrap"

    def problem(self) -> str:
        if not self._binary:
            return "bubblewrap is not installed"
        if not seccomp.supported():
            return "no system call table for this machine's processor"
        if host.is_root() and not self._setpriv:
            return "setpriv (util-linux), which bubblewrap needs on a node of root, is not installed"
        if not self._binds_descriptors:
            return f"{self.label} is older than 0.10: it can't mount by descriptor (--ro-bind-fd)"
        return ""

    def confine(self, launch: Launch) -> Confined:
        pins = [pin for _, pin in launch.view.pinned()]
        env = environment(launch, INPUTS, OUTPUTS, HOME)
        command = program(launch, env)
        # The job's own user is shown by name; the people of this machine are not shown.
        people = accounts.write(launch.scratch, user_name(launch.user), launch.user, HOME)
        copied = _copied(launch, people)
        status = shown.FIRST_COPIED + len(copied)
        arguments = [
            *_namespaces(launch),
            *_base(staging.private_directory(launch.scratch / "tmp", launch.user), _work(launch), launch),
            *shown.options(launch.view, status + 1, {path for path, _ in copied}),
            *(shown.copies(copied) if copied else shown.bound(people)),
            *shown.covers(launch.view),
            *devices.file_options((str(path.resolve()), place) for path, place in launch.gpus.files),
            *devices.fact_options(launch.gpus.facts),
            *_mounts(launch, pins, status + 1),
            *_covers(launch),
            *_sealed(launch),
            "--remount-ro",
            "/",
            "--remount-ro",
            "/dev",
            "--chdir",
            _directory(launch.params.working_directory),
            "--seccomp",
            "4",
            "--json-status-fd",
            str(status),
        ]
        program_inside = b""
        if has_way_out(launch.request):
            # The job waits for what listens in its network. Its pipe comes after all other descriptors.
            arguments += ["--block-fd", str(status + 1 + len(pins))]
            program_inside = holder.program(SOCKET, PORT)
        arguments += ["--clearenv"]
        late: list[str] = []
        for name, value in env.items():
            if launch.user >= 0 and name.startswith(_LOADER_VARIABLES):
                late.append(f"{name}={value}")
            else:
                arguments += ["--setenv", name, value]
        # Through files, not the command line, which other users can read.
        options = binary.write(launch.scratch / "bwrap.args", "\0".join([*arguments, ""]).encode())
        families: tuple[int, ...] = (seccomp.AF_INET, seccomp.AF_INET6, seccomp.AF_NETLINK)
        # Abstract sockets of this host live in its network namespace.
        if not launch.host_network and not sockets.uncovered(launch.request.inputs):
            families += (seccomp.AF_UNIX,)
        rules = binary.write(launch.scratch / "bwrap.seccomp", seccomp.program(seccomp.Profile(families)))
        if launch.user >= 0:
            command = [*self._drop(launch.user), *(["/usr/bin/env", *late] if late else []), *command]
        return Confined(
            argv=[str(self._binary), "--args", "3", "--", *command],
            cwd="/",
            env={},
            prints_as=launch.user,
            sandbox_files=[options, rules, *(str(path) for path, _ in copied)],
            status=True,
            advice=_ADVICE if launch.host_network else "",
            pinned=[(pin.real, pin.device, pin.inode) for pin in pins],
            holder=program_inside,
            written=[str(launch.scratch / name) for name in ("tmp", "work", "outputs")],
        )

    def _drop(self, user: int) -> list[str]:
        return [
            str(self._setpriv),
            f"--reuid={user}",
            f"--regid={user}",
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
            "--no-new-privs",
            "--",
        ]


def _namespaces(launch: Launch) -> list[str]:
    arguments = ["--die-with-parent", "--new-session", "--unshare-ipc", "--unshare-pid", "--unshare-uts"]
    arguments += ["--unshare-cgroup-try"]
    if launch.user >= 0:
        arguments += ["--cap-drop", "ALL"]
        # The last one lets bubblewrap enter a directory of the job's user; setpriv drops them all.
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_DAC_READ_SEARCH"):
            arguments += ["--cap-add", capability]
    else:
        arguments += ["--unshare-user"]
    if not launch.host_network:
        arguments += ["--unshare-net"]
    return arguments


def _base(scratch: Path, work: Path, launch: Launch) -> list[str]:
    # The names of the user's keys; a kernel may have none.
    keys = ["--ro-bind", "/dev/null", "/proc/keys"] if Path("/proc/keys").exists() else []
    return [
        "--proc",
        "/proc",
        *keys,
        "--dev",
        "/dev",
        "--perms",
        "1777",
        "--size",
        str(binary.shared_memory(launch.request.resources.memory)),
        "--tmpfs",
        "/dev/shm",
        "--bind",
        str(scratch),
        "/tmp",
        "--dir",
        "/var",
        "--symlink",
        "../tmp",
        "/var/tmp",
        "--dir",
        "/run",
        # Where the job stands it may write; only `outputs` in it comes back.
        "--bind",
        str(work),
        JOB_DIRECTORY,
    ]


def _work(launch: Launch) -> Path:
    """Return the job's own directory, with places for inputs and outputs that it can't move."""
    work = staging.private_directory(launch.scratch / "work", launch.user)
    for name in (INPUTS, OUTPUTS):
        (work / name.lstrip("/")).mkdir(exist_ok=True)
    return work


def _sealed(launch: Launch) -> list[str]:
    """Keep the job from adding to its inputs where they lie in the directory that it may write to."""
    is_whole = any(each.target.rstrip("/") == INPUTS for each in launch.request.inputs)
    return [] if is_whole else ["--remount-ro", JOB_DIRECTORY + INPUTS]


def _copied(launch: Launch, own: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Return the files that the job gets copies of, and where; ``own`` are those that were made for it."""
    if 0 < launch.request.resources.disk < shown.MAX_COPIED:
        return []  # bubblewrap keeps to the job's limit of a file's size, too
    return [*own, *((path, str(path)) for path in shown.copied(launch.view))]


def _mounts(launch: Launch, pins: list[Pin], first_pinned: int) -> list[str]:
    """Return the options that mount inputs and outputs; what is mounted by its descriptor is added to ``pins``."""
    mounts = [_input(launch, index, each) for index, each in enumerate(launch.request.inputs)]
    for output in launch.request.outputs:
        staging.private_directory(output.path, launch.user)
        mounts.append(Mount(output.target.rstrip("/"), output.path, writable=True))
    targets = {mount.target for mount in mounts}
    if INPUTS not in targets:
        mounts.append(Mount(INPUTS, None))
    if OUTPUTS not in targets:
        mounts.append(
            Mount(OUTPUTS, staging.private_directory(launch.scratch / "outputs", launch.user), True)
        )
    mounts += [
        replace(mount, target=JOB_DIRECTORY + mount.target)
        for mount in mounts
        if any(mount.target == root or mount.target.startswith(f"{root}/") for root in (INPUTS, OUTPUTS))
    ]
    arguments: list[str] = []
    laid = lay_out(mounts)
    made: set[str] = set()
    bound = {mount.target for mount in laid if mount.source is not None}
    for mount in laid:
        ways = [str(parent) for parent in reversed(Path(mount.target).parents)][1:]
        # Spelled out for the same reason as in `_view`; what lies inside a mount is there already.
        if bound.isdisjoint(ways):
            arguments += [option for way in ways if way not in made for option in ("--dir", way)]
            made.update(ways)
        bind = "--bind" if mount.writable else "--ro-bind"
        if mount.link:
            arguments += ["--symlink", mount.link, mount.target]
        elif mount.target == JOB_DIRECTORY + INPUTS and mount.source is None:
            arguments += ["--tmpfs", mount.target]
        elif mount.source is None:
            arguments += ["--dir", mount.target]
        elif mount.checked is None:
            arguments += [bind, str(mount.source.resolve()), mount.target]
        else:
            arguments += [f"{bind}-fd", str(first_pinned + len(pins)), mount.target]
            pins.append(Pin(str(mount.source), *mount.checked))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    too_many = limit != resource.RLIM_INFINITY and confine.descriptors(len(pins)) > limit
    if too_many or len(arguments) > binary.MAX_WORDS:
        raise TooManyEntries(f"{len(laid)} files and directories would have to be mounted one by one")
    return arguments


def _input(launch: Launch, index: int, mount: InputMount) -> Mount:
    target = mount.target.rstrip("/") or "/"
    if staging.can_follow(mount, launch.user, parents=False):
        return Mount(target, mount.path, not mount.read_only, mount.checked)
    if not mount.read_only:
        raise EngineError(
            f"the input {mount.target} can't be writable: jobs of this node run as another user than its owner",
            fails_execution=True,
        )
    copied = launch.scratch / "copies" / str(index)
    staging.copy(mount, copied, launch.user)
    return Mount(target, copied)


def _covers(launch: Launch) -> list[str]:
    """Cover the sockets in inputs, at both places of an input."""
    arguments: list[str] = []
    for place in sockets.covers(
        launch.request.inputs, lambda index: (launch.scratch / "copies" / str(index)).exists()
    ):
        arguments += ["--ro-bind", "/dev/null", place]
        if place.startswith((f"{INPUTS}/", f"{OUTPUTS}/")):
            arguments += ["--ro-bind", "/dev/null", JOB_DIRECTORY + place]
    return arguments


def _directory(directory: str) -> str:
    return os.path.normpath(os.path.join(JOB_DIRECTORY, directory))  # noqa: PTH118 - a path in the job's tree
