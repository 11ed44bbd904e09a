"""The plan of one execution: what its process sees, how it is confined, and what it is told."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.engines.supervised import bare, host, staging
from bacalhau_jupyter.engines.supervised.confinement import landlock, seccomp
from bacalhau_jupyter.engines.supervised.launch import Confined
from bacalhau_jupyter.engines.supervised.state import State
from bacalhau_jupyter.engines.supervised.supervisor.confine import FIRST_FILE, can_adopt
from bacalhau_jupyter.engines.wasm import memory
from bacalhau_jupyter.engines.wasm.guest.running import Place, Work
from bacalhau_jupyter.engines.wasm.linking import Program
from bacalhau_jupyter.engines.wasm.params import WasmParams
from bacalhau_jupyter.engines.wasm.places import covers, guest_path
from bacalhau_jupyter.engines.wasm.runtime import Runtime
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.spec import NetworkType
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import RunRequest
from bacalhau_jupyter.plugins.inputs import changed

COMPONENT = "WASM"
RUNNER = "bacalhau_jupyter.engines.wasm.guest.running"
_PLAIN = bare.program("bacalhau_jupyter.engines.supervised.supervisor.plain")
HOST, DOOR = "host", "door"


@dataclass(frozen=True)
class Confinement:
    """What of the kernel's means works here.

    Attributes
    ----------
    landlock_abi
        Landlock's ABI (0: none).
    filters
        Whether there are system call filters.
    plain
        Whether only what every Unix has is used to look after the processes (`supervisor.plain`).
    sums
        Whether the memory of a whole process can be limited.
    """

    landlock_abi: int
    filters: bool
    plain: bool = False
    sums: bool = True

    @property
    def words(self) -> str:
        """What is said of it after the runtime's name."""
        means = [
            name for name, works in (("Landlock", self.landlock_abi), ("seccomp", self.filters)) if works
        ]
        return "+".join(means) or "not confined by the kernel"

    def limited(self, words: str) -> str:
        """Return what is said of the limits, given what is said where a process can be limited."""
        return words if self.sums else "memory limited per module, CPU not limited"

    def program(self, user: int, families: tuple[int, ...] = ()) -> bytes:
        """Return the filter for a process that makes no other one."""
        if not self.filters:
            return b""
        profile = seccomp.Profile(
            families, own_user=user < 0, ipc=False, landlock_abi=self.landlock_abi, threads_only=True
        )
        return seccomp.program(profile)


def confinement_here(platform: str = sys.platform) -> Confinement:
    """Return what works on this machine."""
    # An emulator that only translates programs of another machine has little of Linux's own, either.
    if not platform.startswith("linux") or not can_adopt():
        return Confinement(0, filters=False, plain=True, sums=False)
    return Confinement(landlock.abi(), seccomp.supported() and seccomp.in_kernel())


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One execution to start.

    Attributes
    ----------
    request
        Its inputs were checked.
    user
        The uid and gid that its process becomes, -1 for the node's own.
    ours
        The compute node's data directory: files below it may get links.
    """

    request: RunRequest
    params: WasmParams
    program: Program
    runtime: Runtime
    confinement: Confinement
    state: State
    user: int
    ours: Path

    @property
    def http(self) -> str:
        """How the HTTP functions reach servers; "" where no module uses them."""
        if not self.program.uses_http:
            return ""
        return DOOR if _network(self.request) is NetworkType.HTTP else HOST


def has_network(request: RunRequest, *, rejects_network: bool) -> bool:
    """Whether the HTTP functions are there: officially also where the network was left open.

    Parameters
    ----------
    rejects_network
        Whether the node takes no jobs with a network; then a network that was left open is not there.
    """
    none = (NetworkType.NONE, NetworkType.DEFAULT) if rejects_network else (NetworkType.NONE,)
    return _network(request) not in none


def _network(request: RunRequest) -> NetworkType:
    job = request.execution.job
    return NetworkType.NONE if job is None else job.task.network.type


def confine(launch: Launch) -> Confined:
    """Lay out the inputs and outputs of an execution, and say how its process is started.

    Raises
    ------
    EngineError, IOFailure
        An input is not what was checked, can't be read, or would be hidden by another place.
    OSError
        The disk is full, for example.
    """
    pins: list[InputMount] = []
    files = _files(launch)
    root = launch.state.path / "root"
    root.mkdir(mode=0o755)
    places = [_place("/", host=root)]
    rules = [(str(root), landlock.READ_FILE | landlock.READ_DIR)]
    for index, mount in enumerate(launch.request.inputs):
        _stage(launch, mount, root, index, places, pins)
    first_pinned = FIRST_FILE + 1
    readable = [place["host"] for place in places if place["host"]]
    readable += [f"/proc/self/fd/{first_pinned + index}" for index in range(len(pins))]
    rules += [(path, landlock.READ_FILE | landlock.READ_DIR) for path in readable]
    for place in _outputs(launch, root, files):
        places.append(place)
        rules.append((place["host"], landlock.WRITE & ~landlock.EXECUTE))
    if launch.http:
        rules += [(str(path), landlock.READ) for path in host.system_paths()]
    families = {
        HOST: (seccomp.AF_INET, seccomp.AF_INET6, seccomp.AF_NETLINK),
        DOOR: (seccomp.AF_UNIX,),
    }.get(launch.http, ())
    plain = launch.confinement.plain
    return Confined(
        argv=[sys.executable, "-I", "-S", "-c", _PLAIN, bare.PACKAGE, str(launch.state.plan)]
        if plain
        else [],
        cwd="/",
        env={},
        landlock_abi=launch.confinement.landlock_abi,
        rules=rules,
        filter=launch.confinement.program(launch.user, families),
        user=launch.user,
        pinned=[(str(each.path), *(each.checked or (0, 0))) for each in pins],
        runner=RUNNER,
        plain=plain,
        work=dict(_work(launch, places)),
        memory_besides=memory.BESIDES,
    )


def _work(launch: Launch, places: list[Place]) -> Work:
    # RLIMIT_DATA is the sum for the process; this one is what a module is told when it asks for more.
    env = {**launch.params.environment_variables, **launch.request.env}
    return Work(
        library=str(launch.runtime.library),
        modules=[each.names for each in launch.program.modules],
        code=_code(launch),
        set_up=[each.set_up for each in launch.program.modules],
        entry=launch.params.entry,
        results=launch.program.results,
        argv=["", *launch.params.parameters],
        env=sorted(env.items()),
        places=places,
        memory=memory.limit(launch.request.resources.memory),
        counted=not launch.confinement.sums,
        http=launch.http,
        door=str(launch.state.door),
    )


def _code(launch: Launch) -> list[str]:
    """Give the execution links of its own to the code: what is kept may be removed at any time."""
    files = []
    for index, module in enumerate(launch.program.modules):
        file = launch.state.path / f"module-{index}"
        os.link(module.compiled.code, file)
        files.append(str(file))
    return files


def _place(guest: str, *, host: Path | None = None, pinned: int = -1, writable: bool = False) -> Place:
    return Place(guest=guest, host="" if host is None else str(host), pinned=pinned, writable=writable)


def _stage(
    launch: Launch, mount: InputMount, root: Path, index: int, places: list[Place], pins: list[InputMount]
) -> None:
    """Show one input: a directory as it is where the process may read it, a file by a link or a copy of its own."""
    target = guest_path(mount.target)
    assert mount.checked is not None
    below = root / target.lstrip("/")
    readable = staging.can_follow(mount, launch.user, parents=False)
    if _is_directory(mount):
        _directories(below)
        if readable:
            places.append(_place(target, pinned=len(pins)))
            pins.append(mount)
        else:
            copy = launch.state.path / "copies" / str(index)
            staging.copy(mount, copy, launch.user)
            places.append(_place(target, host=copy))
        return
    _directories(below.parent)
    if readable and launch.ours in mount.path.parents and _linked(mount, below):
        return
    staging.copy(mount, below, launch.user)


def _files(launch: Launch) -> list[str]:
    """Return where single files appear, which is only where no directory of the job is.

    A module looks for a path in the innermost directory that it was given. Another directory inside is one of these; a
    file is not. Where it is a module itself, nobody needs to see it.
    """
    inputs = launch.request.inputs
    directories = [guest_path(each.target) for each in inputs if _is_directory(each)]
    files = [path for each in inputs if (path := guest_path(each.target)) not in directories]
    modules = {each.path for each in launch.program.modules}
    directories += [guest_path(each.target) for each in launch.request.outputs]
    for path in files:
        around = next((each for each in directories if covers(each, path)), "")
        if around and path not in modules:
            raise EngineError(
                f"the module can't see the file {path} inside {around}, which is another input or a result path",
                hint="Give the file a target outside of it, or put it into the directory itself.",
                component=COMPONENT,
                fails_execution=True,
                fails_job=True,
            )
    return files


def _is_directory(mount: InputMount) -> bool:
    info = mount.path.lstat()
    if (info.st_dev, info.st_ino) != mount.checked:
        raise changed(mount, COMPONENT)
    return stat.S_ISDIR(info.st_mode)


def _linked(mount: InputMount, target: Path) -> bool:
    """Give the root a link to a file of the node's own; False where that can't be done."""
    try:
        os.link(mount.path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            return False
        raise
    info = target.lstat()
    if (info.st_dev, info.st_ino) == mount.checked:
        return True
    target.unlink()
    raise changed(mount, COMPONENT)


def _directories(path: Path) -> None:
    """Create directories that every user may list, whatever the node's umask is."""
    missing: list[Path] = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        each.mkdir()
        each.chmod(0o755)


def _outputs(launch: Launch, root: Path, files: Sequence[str]) -> Sequence[Place]:
    """Offer each result path at its path, and, as official nodes do, below / by its name."""
    taken = {guest_path(each.target) for each in launch.request.inputs}
    taken |= {guest_path(each.target) for each in launch.request.outputs}
    places = []
    for output in launch.request.outputs:
        output.path.mkdir(parents=True, exist_ok=True)
        if launch.user >= 0:
            os.chown(output.path, launch.user, launch.user)
        targets = {guest_path(output.target), f"/{output.name}"}
        for target in sorted(targets):
            hides = target in taken or any(covers(target, file) for file in files)
            if target == guest_path(output.target) or not hides:
                _directories(root / target.lstrip("/"))
                places.append(_place(target, host=output.path, writable=True))
    return places
