"""What this host shows to jobs by default, and what it never shows."""

from __future__ import annotations

import functools
import os
import pwd
import re
import stat
from pathlib import Path

FIRST_JOB_UID = 61500
JOB_UIDS = 3900
"""Jobs of a node that runs as root get uids from here: above people, below ``nobody`` and what containers map."""

FIRST_IMAGE_ID = 0x70000000
IMAGE_IDS = 65536
"""A job in an image has as many users of its own, from here on: nothing else uses these (systemd's list of ranges)."""

SYSTEM_DIRECTORIES = ("/usr", "/nix/store")
SYSTEM_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Separate directories on old systems, links into /usr on new ones."""

ETC = (
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "fonts",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki/ca-trust",
    "pki/tls/certs",
    "profile",
    "profile.d",
    "protocols",
    "python3",
    "python3.11",
    "python3.12",
    "python3.13",
    "resolv.conf",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
"""Of /etc, only what programs need to start, to name users and zones, and to check certificates."""

CPU_FACTS = "/sys/devices/system/cpu"

_SECRET_DIRECTORIES = (
    ".aws",
    ".azure",
    ".bacalhau",
    ".config/gcloud",
    ".config/gh",
    ".docker",
    ".gnupg",
    ".jupyter",
    ".kube",
    ".local/share/jupyter/runtime",
    ".netrc",
    ".pypirc",
    ".ssh",
)
_OF_THE_SYSTEM = ("/", "/boot", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var")


def counts_processes_apart() -> bool:
    """Whether the kernel counts a user's processes in each user namespace by themselves (Linux 5.14)."""
    numbers = [int(text) for text in re.findall(r"\d+", os.uname().release)[:2]]
    return numbers >= [5, 14]


def is_root() -> bool:
    """Whether the node runs as root, so that jobs must run as another user."""
    return os.geteuid() == 0


def image_ids(user: int) -> range:
    """Return the users and groups on this host of a job in an image, given the job's uid."""
    first = FIRST_IMAGE_ID + (user - FIRST_JOB_UID) * IMAGE_IDS
    return range(first, first + IMAGE_IDS)


def is_known_user(uid: int) -> bool:
    """Whether a user of this machine has that uid."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


@functools.cache
def system_paths() -> tuple[Path, ...]:
    """Return the system directories and files that exist here and that every job may read."""
    candidates = [*SYSTEM_DIRECTORIES, *SYSTEM_LINKS, *(f"/etc/{name}" for name in ETC), CPU_FACTS]
    return tuple(Path(path) for path in candidates if Path(path).exists())


def home() -> Path:
    """Return our home directory; ``/nonexistent`` for a user that this machine does not know."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


@functools.cache
def homes() -> frozenset[Path]:
    """Return the home directories of this machine's people, and ours."""
    home_directories = {home(), Path("/root")}
    for entry in pwd.getpwall():
        theirs = Path(entry.pw_dir)
        if entry.pw_uid >= 1000 and theirs.is_absolute() and len(theirs.parts) > 1:
            home_directories.add(theirs)
    return frozenset(home_directories)


@functools.lru_cache(maxsize=8)
def secrets(hidden: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return what no job may see, even inside a directory that it may: ``hidden`` and well-known places."""
    secret_paths = {path.resolve() for path in hidden}
    secret_paths.update((home() / name).resolve() for name in _SECRET_DIRECTORIES)
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "XDG_RUNTIME_DIR", "BACALHAU_DIR"):
        if value := os.environ.get(variable):
            secret_paths.add(Path(value).resolve())
    return tuple(sorted(secret_paths - {Path("/")}))


def is_of_the_system(path: Path) -> bool:
    """Whether ``path`` is so general (``/``, ``/home``, ``/etc``) that it shows other people's things."""
    return str(path) in _OF_THE_SYSTEM or any(path in each.parents for each in homes())


def readable_by_others(path: Path, *, parents: bool) -> bool:
    """Whether a user without any relation to ``path`` may read it.

    Parameters
    ----------
    path
        A file or directory; of a directory only the directory itself is looked at.
    parents
        Whether that user would have to come through the directories above.
    """
    try:
        above = path.resolve().parents if parents else ()
        if any(not directory.stat().st_mode & stat.S_IXOTH for directory in above):
            return False
        mode = path.stat().st_mode
    except OSError:
        return False
    return open_to_others(mode)


def open_to_others(mode: int) -> bool:
    """Whether a mode lets everybody read a file, or list and enter a directory."""
    needed = stat.S_IROTH | stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
    return mode & needed == needed
