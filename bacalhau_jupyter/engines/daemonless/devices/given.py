"""What a job in an image gets of the GPUs that it holds.

NVIDIA's come as a CDI specification says: device files, the driver's libraries and programs from this machine, links
to them and variables. AMD's and Intel's are device files, since their libraries lie in images.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_jupyter.engines.daemonless.devices.edits import Edits, Unusable
from bacalhau_jupyter.engines.daemonless.devices.soname import soname
from bacalhau_jupyter.engines.daemonless.devices.specs import DIRECTORIES, find
from bacalhau_jupyter.engines.docker.devices import cdi_name, is_nvidia
from bacalhau_jupyter.engines.supervised.gpus import Access, Driver, NoAccess, access, check, nvidia_card
from bacalhau_jupyter.engines.supervised.mounts import Mount
from bacalhau_jupyter.engines.supervised.sockets import sockets_below
from bacalhau_jupyter.models.jobs.resources import GPU

_KIND = "nvidia.com/gpu"
KEY = "Engines.Docker.CDISpecDirs"
_DEVICES = "/dev"
_PASSING = ("/run/", "/var/run/", "/tmp/nvidia-mps")
"""Where services put what is there while they run: nothing that a computation needs."""
_HINT = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"


@dataclass(frozen=True)
class Machine:
    """Where drivers show their GPUs, and where CDI specifications lie."""

    driver: Driver = field(default_factory=Driver)
    specifications: Sequence[Path] = DIRECTORIES


def machine_of(directories: Sequence[str] | None) -> Machine:
    """Return this machine, with the directories of specifications that the settings name."""
    return Machine(specifications=tuple(map(Path, directories or ())) or DIRECTORIES)


@dataclass(frozen=True)
class Given(Access):
    """What the job gets: device files, facts and variables, and what a CDI specification adds.

    Attributes
    ----------
    mounts
        What it gets to read of this machine's driver.
    links
        Texts of symbolic links, and where these lie: in ``/dev``, or in the image.
    folders
        Directories in which its linker has to look for libraries.
    """

    mounts: tuple[Mount, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    folders: tuple[str, ...] = ()


NOTHING = Given()


def given(gpus: Sequence[GPU], user: int, machine: Machine) -> Given:
    """Return what a job gets of these GPUs. Blocks.

    Parameters
    ----------
    gpus
        What the execution holds.
    user
        The uid that the job becomes; -1 for the node's own.
    machine
        Where everything is.

    Raises
    ------
    NoAccess
        One can't be given to a job; the text says what would help.
    """
    if not gpus:
        return NOTHING
    others = access([gpu for gpu in gpus if not is_nvidia(gpu)], user, machine.driver)
    edits = Edits()
    for gpu in gpus:
        if is_nvidia(gpu):
            edits += _of_nvidia(gpu, machine)
    try:
        return _carried_out(edits, others, user)
    except OSError as error:
        raise NoAccess(f"what the CDI specification names can't be used ({error})") from None


def _of_nvidia(gpu: GPU, machine: Machine) -> Edits:
    names = [cdi_name(gpu)]
    if uuid := nvidia_card(gpu, machine.driver)[1]:
        names.append(f"{_KIND}={uuid}")
    if relative := next((each for each in machine.specifications if not each.is_absolute()), None):
        raise NoAccess(f"{KEY} takes absolute paths, not {relative}")
    try:
        return find(names, machine.specifications)
    except Unusable as reason:
        raise NoAccess(
            f"docker jobs get NVIDIA's GPUs from a Docker Engine, which this node does not have, or by CDI: {reason} "
            f"({_HINT})"
        ) from None


def _carried_out(edits: Edits, others: Access, user: int) -> Given:
    nodes = dict.fromkeys(others.files)
    mounts: dict[str, Mount] = {}
    links = dict.fromkeys(edits.links)
    for host_path, place in edits.nodes:
        nodes[_node(Path(host_path), place, user)] = None
    for host_path, place in edits.mounts:
        path = Path(host_path)
        if _is_below(place, _DEVICES):
            nodes[_node(path, place, user)] = None
        elif (mount := _mount(path, place)) is not None:
            mounts[place] = mount
    # What `ldconfig` does in a container: a link from the name that programs ask for to the library.
    folders = dict.fromkeys(edits.folders)
    taken = {place for _, place in links} | set(mounts)
    for place, mount in mounts.items():
        folder, file_name = posixpath.split(place)
        assert mount.source is not None
        if folder in folders and (name := soname(mount.source)) and f"{folder}/{name}" not in taken:
            links[file_name, f"{folder}/{name}"] = None
    return Given(
        files=tuple(nodes),
        facts=others.facts,
        variables=others.variables | dict(edits.variables),
        mounts=tuple(mounts.values()),
        links=tuple(links),
        folders=tuple(folders),
    )


def _node(path: Path, place: str, user: int) -> tuple[Path, str]:
    if not _is_below(place, _DEVICES):
        raise NoAccess(f"a CDI specification puts the device file {path} outside of /dev, at {place}")
    check(path, place, user)
    if not stat.S_ISCHR(path.stat().st_mode):
        raise NoAccess(f"a CDI specification names {path} as a device file, but it is not a character device")
    return path, place


def _mount(path: Path, place: str) -> Mount | None:
    """Return how a path is shown, read-only; None for what no computation needs: services' sockets."""
    try:
        real = path.resolve(strict=True)
        facts = real.stat()
    except FileNotFoundError:
        if str(path).startswith(_PASSING):
            return None
        raise NoAccess(
            f"{path} does not exist, and the CDI specification names it: make it again ({_HINT})"
        ) from None
    is_directory = stat.S_ISDIR(facts.st_mode)
    if not is_directory and not stat.S_ISREG(facts.st_mode):
        return None
    if is_directory and sockets_below([str(real)]):
        return None
    return Mount(place, real, checked=(facts.st_dev, facts.st_ino))


def _is_below(path: str, root: str) -> bool:
    return path.startswith(f"{root}/")
