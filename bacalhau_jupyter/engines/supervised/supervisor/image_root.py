"""The mounts under a job that runs in an image, made before bubblewrap starts, and the user that bubblewrap is.

A node of root gives each job 65536 users of its own and shows the image's users as these (an idmapped mount): nobody
in the job is a user of this host, root of the job least of all. A node of an ordinary user has but itself to give: it
is root for the job, and the only user.

Runs in the supervisor's child, which has one thread; the standard library's cheap modules only.
"""

from __future__ import annotations

import _socket  # `socket` itself imports enum: five milliseconds
import ctypes
import os
import stat
import struct

from bacalhau_jupyter.engines.supervised.confinement.pinned import open_pinned
from bacalhau_jupyter.lib.beneath import O_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bacalhau_jupyter.engines.supervised.supervisor.plan import ImageRoot

USERS = 65536
"""Users that a job of a node of root has."""

_NEW_NS, _NEW_USER = 0x20000, 0x10000000
_NOSUID, _NODEV, _MOVE, _REC, _SLAVE = 2, 4, 8192, 16384, 1 << 19
_MOUNT_SETATTR, _OPEN_TREE, _MOVE_MOUNT = 442, 428, 429  # the same numbers on every architecture
_CLONE, _CLOEXEC, _RECURSIVE, _EMPTY_PATH = 1, 0o2000000, 0x8000, 0x1000
_FROM_EMPTY_PATH = 4
_READ_ONLY, _IDMAP = 1, 0x100000
_PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 28, 4
"""Another effective user takes no rights away."""
_AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def enter(image: ImageRoot) -> None:
    """Mount the image's tree and what is shown in it; become root of the job's own users.

    Raises
    ------
    OSError
        The kernel refuses; the text says which step.
    Changed
        What is to be shown is something else than what was checked.
    """
    shifted = image["first_id"] >= 0
    users = user_namespace(image["first_id"], image["owner"]) if shifted else -1
    if shifted:
        _check(_libc.unshare(_NEW_NS), "unshare")
    else:
        uid, gid = os.geteuid(), os.getegid()
        _check(_libc.unshare(_NEW_USER | _NEW_NS), "unshare")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    _mount(None, "/", None, _REC | _SLAVE)
    os.chdir(image["directory"])
    tree = os.open(image["tree"], O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    _attach(_clone(tree, users), "lower")
    os.close(tree)
    # Relative names: the job can read them, and they must mean nothing to it. What it wrote is thrown away, so nothing
    # waits for the disk.
    _mount("tmpfs", "view", "tmpfs", _NOSUID | _NODEV, "mode=755,size=16m")
    os.mkdir("view/image", 0o755)  # noqa: PTH102 - pathlib is too slow to import in the supervisor
    options = "lowerdir=lower,upperdir=upper,workdir=work,volatile"
    if not shifted:
        options += ",userxattr"
    _mount("overlay", "view/image", "overlay", _NOSUID | _NODEV, options)
    for number, each in enumerate(image["mounts"]):
        _show(f"view/{number}", *each, users)
    # Where anybody gets to: the directories above this one are closed to the job's users.
    _mount("view", image["view"], None, _MOVE)
    if shifted:
        _check(_libc.setns(users, _NEW_USER), "setns")
        os.close(users)
        os.setgroups([])
        os.setgid(0)
        os.setuid(0)


def user_namespace(first_id: int, owner: int) -> int:
    """Make a user namespace whose users 0, 1, … are ``first_id`` and the following ones here; return its descriptor.

    The kernel counts the processes of all its users as those of its owner (``RLIMIT_NPROC``), which is nobody else.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            _libc.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0)
            os.setuid(owner)
            if _libc.unshare(_NEW_USER) == 0:
                # Another user's process could be asked for it by CAP_SYS_PTRACE only, which containers seldom have.
                made = struct.pack("i", os.open("/proc/self/ns/user", os.O_RDONLY))
                theirs.sendmsg([b"x"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, made)])
                theirs.recv(1)
        finally:
            os._exit(0)
    theirs.close()
    try:
        _, sent, _, _ = ours.recvmsg(1, _socket.CMSG_SPACE(4))
        if not sent:
            raise OSError("user namespaces can't be made here")
        for name in ("uid_map", "gid_map"):
            _write(f"/proc/{pid}/{name}", f"0 {first_id} {USERS}")
        opened = int(struct.unpack("i", sent[0][2])[0])
        os.set_inheritable(opened, False)
        return opened
    finally:
        ours.close()
        os.waitpid(pid, 0)


def _show(place: str, path: str, device: int, inode: int, writable: bool, users: int) -> None:
    """Mount a path, which must be what was checked, at a place that does not exist yet.

    Some file systems can't show other owners. What is only read is then shown as it is: open to the job where it is
    open to everybody.
    """
    opened = open_pinned(path, device, inode)
    try:
        mode = os.fstat(opened).st_mode
        if stat.S_ISDIR(mode):
            os.mkdir(place)  # noqa: PTH102
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        try:
            # Root in the job must not own a device: it would change its mode for this whole machine.
            clone = _clone(opened, -1 if stat.S_ISCHR(mode) else users)
        except OSError as error:
            if users < 0:
                raise
            if writable:
                text = f"{path} lies on a file system that can't be written to by another user ({error})"
                raise OSError(error.errno, text) from None
            clone = _clone(opened, -1)
        if stat.S_ISCHR(mode):
            # What is written to a device is not written to its file.
            _change(clone, _READ_ONLY)
        _attach(clone, place)
    finally:
        os.close(opened)


def _clone(opened: int, users: int) -> int:
    """Return a mount of what is open, not attached yet, with the owners of a user namespace (-1: as they are)."""
    flags = ctypes.c_uint(_CLONE | _CLOEXEC | _RECURSIVE | _EMPTY_PATH)
    clone = _system_call("open_tree", _OPEN_TREE, opened, b"", flags)
    if users >= 0:
        try:
            _change(clone, _IDMAP, users)
        except OSError:
            os.close(clone)
            raise
    return clone


def _change(mount: int, attribute: int, users: int = 0) -> None:
    attributes = struct.pack("=QQQQ", attribute, 0, 0, users)
    _system_call(
        "mount_setattr",
        _MOUNT_SETATTR,
        mount,
        b"",
        ctypes.c_uint(_EMPTY_PATH | _RECURSIVE),
        attributes,
        ctypes.c_size_t(len(attributes)),
    )


def _attach(clone: int, place: str) -> None:
    _system_call(
        "move_mount", _MOVE_MOUNT, clone, b"", _AT_FDCWD, os.fsencode(place), ctypes.c_uint(_FROM_EMPTY_PATH)
    )
    os.close(clone)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    result = _libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    _check(result, f"mount {kind}" if kind else "mount")


def _write(path: str, text: str) -> None:
    opened = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(opened, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"{path.rpartition('/')[2]}: {os.strerror(error.errno or 0)}") from None
    finally:
        os.close(opened)


def _system_call(name: str, number: int, *arguments: object) -> int:
    return _check(int(_libc.syscall(ctypes.c_long(number), *arguments)), name)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
