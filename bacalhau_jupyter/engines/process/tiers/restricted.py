"""Tier 2: Landlock, seccomp and resource limits by ctypes. Needs no namespaces, so it works in strict containers.

The job sees this host's file tree as it is (names and sizes of files show), but opens only what rules allow. Nothing
is mounted: inputs and outputs are found in its working directory. That is writable, and a rule for a directory counts
for all below it, so inputs and outputs lie elsewhere and are links there. As the node's own user, without namespaces,
some things have to be refused whole: sockets (but for internet ones of a job that asked for the network; the node's
API tells such a job by its filters), System V IPC, shared memory by name, changes of modes and times, and with
Landlock below ABI 6 sending signals.
"""

from __future__ import annotations

import os
from pathlib import Path

from bacalhau_jupyter.engines.process.launch import Launch, environment, program
from bacalhau_jupyter.engines.process.visible_paths import View
from bacalhau_jupyter.engines.supervised import staging
from bacalhau_jupyter.engines.supervised.confinement import landlock, seccomp, shm
from bacalhau_jupyter.engines.supervised.launch import INPUTS, OUTPUTS, Confined
from bacalhau_jupyter.engines.supervised.mounts import Pin
from bacalhau_jupyter.engines.supervised.supervisor.plan import OutputMove
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.contract import InputMount

LABEL = "restricted process (Landlock+seccomp)"
_ADVICE = (
    f"bacalhau: this job was a {LABEL}, which has no /dev/shm, no local sockets, no terminals and no /proc for a "
    "second process: use threads, subprocesses, or multiprocessing's Process with Pipe, or run it where bubblewrap "
    "works or in a container (--image)"
)
_ADVICE_SHARED_MEMORY = (
    f"bacalhau: this job was a {LABEL}, which has no local sockets (multiprocessing's managers and forkserver), no "
    "terminals and no /proc for a second process (psutil): use fork or spawn with queues and pools, or run it where "
    "bubblewrap works or in a container (--image)"
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_CGROUP = (
    "cpu.max",
    "memory.max",
    "cpu/cpu.cfs_quota_us",
    "cpu/cpu.cfs_period_us",
    "memory/memory.limit_in_bytes",
)
"""Limits of this host's container; libraries that count processors (joblib) read them wherever they see them."""
_PROC = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version")


class Restricted:
    """Path rules and system call filters on the job itself."""

    mounts = False
    has_networks = False
    label = LABEL

    def __init__(self, abi: int | None = None) -> None:
        self._abi = landlock.abi() if abi is None else min(abi, landlock.abi())

    def problem(self) -> str:
        if not self._abi:
            return "the kernel has no Landlock, or does not allow it"
        if not seccomp.supported():
            return "no system call table for this machine's processor"
        return ""

    def confine(self, launch: Launch) -> Confined:
        staged = launch.scratch / "staged"
        scratch = staging.private_directory(launch.scratch / "tmp", launch.user)
        readable = _stage_inputs(launch, staged / "inputs")
        writable, moves = _stage_outputs(launch, staged / "outputs")
        if launch.user >= 0:
            staging.hand_over_directory(staged, launch.user)
        work = _work(launch, staged)
        outputs = next(
            (
                str(each.path)
                for each in launch.request.outputs
                if each.target.rstrip("/") == OUTPUTS and not moves
            ),
            str(staged / "outputs"),
        )
        env = environment(launch, str(staged / "inputs"), outputs, str(scratch))
        pins = [pin for _, pin in launch.view.pinned()]
        of_view = len(pins)
        pins += [Pin(str(each.path), *each.checked) for each in readable if each.checked]
        rules = [
            *((path, landlock.READ) for path in _shown(launch.view)),
            *((path, landlock.DEVICE) for path in _DEVICES),
            *((f"/proc/{name}", landlock.READ_FILE | landlock.READ_DIR) for name in _PROC),
            *((f"/sys/fs/cgroup/{name}", landlock.READ_FILE) for name in _CGROUP),
            (str(staged), landlock.READ),
            *((f"/proc/self/fd/{3 + index}", landlock.READ) for index in range(of_view, len(pins))),
            *((str(path), landlock.WRITE) for path in (scratch, work, *writable)),
        ]
        shared_memory = launch.user >= 0 and shm.usable()
        if shared_memory:
            # Others' files are closed by their modes and not listed; the job's own are removed when it ends.
            rules.append((shm.PLACE, landlock.SHARED_MEMORY))
        return Confined(
            argv=program(launch, env),
            cwd=_directory(launch.params.working_directory, work),
            env=env,
            landlock_abi=self._abi,
            rules=rules,
            filter=seccomp.program(self._profile(launch)),
            user=launch.user,
            prints_as=launch.user,
            pinned=[(pin.real, pin.device, pin.inode) for pin in pins],
            moves=moves,
            written=[str(each) for each in (scratch, work, staged / "outputs")],
            advice=_ADVICE_SHARED_MEMORY if shared_memory else _ADVICE,
        )

    def _profile(self, launch: Launch) -> seccomp.Profile:
        families = (seccomp.AF_INET, seccomp.AF_INET6, seccomp.AF_NETLINK) if launch.host_network else ()
        return seccomp.Profile(families, own_user=launch.user < 0, ipc=False, landlock_abi=self._abi)


def _shown(view: View) -> list[str]:
    """Return what is readable; of what is pinned, by its descriptor."""
    paths = []
    descriptors = {path: f"/proc/self/fd/{3 + index}" for index, (path, _) in enumerate(view.pinned())}
    for path in view.without_hidden():
        root = next((each for each in (path, *path.parents) if each in descriptors), None)
        paths.append(str(path) if root is None else str(Path(descriptors[root], path.relative_to(root))))
    return paths


def _work(launch: Launch, staged: Path) -> Path:
    """Make the directory where the job starts: its own, with links to inputs and outputs."""
    work = staging.private_directory(launch.scratch / "work", -1)
    for name in ("inputs", "outputs"):
        (work / name).symlink_to(staged / name)
    if launch.user >= 0:
        # The node owns it, and it is sticky: the job's user can't replace the links.
        os.chown(work, -1, launch.user)
        work.chmod(0o1770)
    return work


def _stage_inputs(launch: Launch, place: Path) -> list[InputMount]:
    """Show the inputs below ``place``; return those that have to be readable where they are."""
    staging.open_way(place.parent, place, launch.user)
    targets = {place / each.target.removeprefix(INPUTS).strip("/"): each for each in launch.request.inputs}
    readable = []
    # Outer ones first, so that a link in one is seen before anything is put behind it.
    for target, mount in sorted(targets.items(), key=lambda each: len(each[0].parts)):
        if not mount.read_only:
            raise EngineError(
                f"the input {mount.target} can't be writable here: this node can't mount ({LABEL})",
                fails_execution=True,
            )
        staging.open_way(place, target.parent if target != place else place, launch.user)
        taken = [other for other in targets if target in other.parents]
        if staging.can_follow(mount, launch.user, parents=True):
            if target == place and mount.path.is_dir() and not taken:
                place.rmdir()
            staging.mirror(mount, target, launch.ours if launch.user < 0 else None, taken)
            if launch.user >= 0 and not target.is_symlink():
                staging.hand_over(target, launch.user)
            readable.append(mount)
        else:
            staging.copy(mount, target, launch.user, taken)
    return readable


def _stage_outputs(launch: Launch, place: Path) -> tuple[list[Path], list[OutputMove]]:
    """Offer the outputs at ``place``; return what is writable and what is to be moved afterwards."""
    targets = {each.target.rstrip("/"): each for each in launch.request.outputs}
    writable: list[Path] = []
    moves: list[OutputMove] = []
    if OUTPUTS not in targets:
        writable.append(staging.private_directory(place, launch.user))
    for target, output in targets.items():
        here = place / target.removeprefix(OUTPUTS).strip("/")
        output.path.mkdir(parents=True, exist_ok=True)
        if launch.user >= 0:
            # The node's directories are closed to the job's user: it writes beside, and the results are moved.
            writable.append(staging.private_directory(here, launch.user))
            moves.append(OutputMove(source=str(here), target=str(output.path)))
        else:
            here.symlink_to(output.path)
            writable.append(output.path)
    return writable, moves


def _directory(directory: str, work: Path) -> str:
    for root in (INPUTS, OUTPUTS):
        if directory == root or directory.startswith(f"{root}/"):
            directory = directory.lstrip("/")
    return str(work / directory)
