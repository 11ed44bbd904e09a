"""The child's way from ``fork`` to ``exec``: descriptors, limits, user, Landlock, seccomp.

Runs in the supervisor's child, which has one thread; the standard library's cheap modules only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan
else:
    import _signal  # `signal` itself imports enum: five milliseconds

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

OWN_PID = 0x7FFFFFFE
"""Stands in a filter for the process that loads it, the job's first; no real pid is that large."""

FIRST_FILE = 3
"""The first descriptor that a program gets beside its standard ones."""

POLITE = (_signal.SIGTERM, _signal.SIGINT)

_libc = ctypes.CDLL(None, use_errno=True)


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _prctl(option: int, argument: object, second: object = 0) -> None:
    if _libc.prctl(option, argument, second, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def can_adopt() -> bool:
    """Whether processes can be subreapers here (Linux 3.4; no emulator of single programs)."""
    return (
        hasattr(_libc, "prctl")
        and _libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(ctypes.c_int()), 0, 0, 0) == 0
    )


def become_subreaper() -> None:
    """Let orphans below this process become its children, so that none is ever lost."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def load_filter(program: bytes) -> None:
    """Load a seccomp filter for this thread and its children; needs ``no_new_privs``."""
    program = program.replace(OWN_PID.to_bytes(4, "little"), os.getpid().to_bytes(4, "little"))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(_SockFprog(len(program) // 8, program)))


def make_room(count: int) -> None:
    """Let this process have so many files open, twice: while they are put in place, two descriptors lead to each."""
    needed = descriptors(count)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft not in (resource.RLIM_INFINITY, hard) and soft < needed:
        top = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (top, hard))


def descriptors(count: int) -> int:
    """Return the limit of open files that mounting ``count`` descriptors takes."""
    return 2 * count + 256


def execute(plan: Plan, out: int, err: int, files: list[int], failure: int, group: int) -> None:
    """Turn this process into the job (or into the sandbox around it); never returns.

    Parameters
    ----------
    plan
        What to run and how to confine it.
    out, err
        Write ends of the output pipes.
    files
        Descriptors that the program gets as 3, 4, …
    failure
        A pipe that closes on ``exec``, or when a runner starts its work; what went wrong is written there.
    group
        Leads into the job's control group (``cgroup.procs``); -1 for none.
    """
    step = "prepare"
    try:
        os.setsid()
        # The supervisor's own would write into whatever gets the number of its pipe.
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        for each in (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
            _signal.signal(each, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, POLITE)
        if group >= 0:
            step = "enter its control group"
            os.write(group, b"0")
            step = "prepare"
        failure = _place(out, err, files, failure)
        os.umask(0o022)
        _limit(plan["limits"])
        if plan["plain"]:
            step = "start"
            os.set_inheritable(failure, True)
            os.execve(plan["argv"][0], [*plan["argv"], str(failure)], plan["env"])
        if plan["runner"]:
            become_runner(plan, failure)
        step = "confine"
        _confine(plan)
        step = "change to the directory"
        os.chdir(plan["cwd"])
        step = "start"
        os.execve(plan["argv"][0], plan["argv"], plan["env"])
    except BaseException as error:
        _tell(failure, step, error)
    os._exit(127)


def become_runner(plan: Plan, failure: int) -> None:
    """Load the plan's runner, be confined, and do its work; never returns.

    Parameters
    ----------
    plan
        What is to be done.
    failure
        As for `execute`.
    """
    step = "load"
    try:
        __import__(plan["runner"])
        work = sys.modules[plan["runner"]].prepare(plan)
        step = "confine"
        _confine(plan)
        os.close(failure)
    except BaseException as error:
        _tell(failure, step, error)
        os._exit(127)
    try:
        work()
    finally:
        os._exit(127)


def _tell(failure: int, step: str, error: BaseException) -> None:
    code = getattr(error, "errno", None) or 0
    os.write(failure, f"{step}\n{code}\n{error}".encode(errors="replace")[:4000])


def _place(out: int, err: int, files: list[int], failure: int) -> int:
    """Move descriptors to where the program expects them, through high numbers so that none overwrites another."""
    import fcntl

    null = os.open("/dev/null", os.O_RDONLY)
    first = max(100, len(files) + 10)
    copies = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, first) for each in (null, out, err, *files)]
    failure = fcntl.fcntl(failure, fcntl.F_DUPFD_CLOEXEC, first)
    for target, source in enumerate(copies):
        os.dup2(source, target)
    os.closerange(len(copies), failure)
    os.closerange(failure + 1, max(4096, failure + len(copies)))
    return failure


def give_up_rights(
    limits: list[tuple[int, int]], user: int, landlock_abi: int, program: bytes, *, plain: bool = False
) -> None:
    """Confine this process: limits, another user (-1: none), no file by name, a filter (empty: none).

    Parameters
    ----------
    plain
        Leave out what only Linux has.
    """
    _limit(limits)
    rules = -1
    if landlock_abi:
        from bacalhau_jupyter.engines.supervised.confinement import landlock

        rules = landlock.ruleset(landlock_abi, [], network=False)
    _become_user(user)
    if not plain:
        _restrict(rules, program)


def _limit(limits: list[tuple[int, int]]) -> None:
    for number, value in limits:
        hard = resource.getrlimit(number)[1]
        top = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (top, top))


def _confine(plan: Plan) -> None:
    if plan["image"] is not None:
        from bacalhau_jupyter.engines.supervised.supervisor import image_root

        image_root.enter(plan["image"])
    if plan["processes"]:
        # Not before: what the node's user does elsewhere would count.
        _limit([(resource.RLIMIT_NPROC, plan["processes"])])
    rules = -1
    if plan["landlock_abi"]:
        from bacalhau_jupyter.engines.supervised.confinement import landlock

        # Opened before the user changes: the node may see directories that the job's user can't.
        own = [(f"/proc/{os.getpid()}", landlock.READ_FILE | landlock.READ_DIR)]
        rules = landlock.ruleset(plan["landlock_abi"], plan["rules"] + own, plan["network"])
        if not plan["runner"]:
            # The rules hold what the descriptors led to; the job has no use for them.
            os.closerange(3, 3 + len(plan["pinned"]))
    _become_user(plan["user"])
    if (plan["landlock_abi"] or plan["runner"]) and not plan["plain"]:
        _restrict(rules, plan["filter"])


def _become_user(user: int) -> None:
    if user >= 0:
        os.setgroups([])
        # For root these set the real, the effective and the saved one.
        os.setgid(user)
        os.setuid(user)


def _restrict(rules: int, program: bytes) -> None:
    # After the change of user, which clears it. bubblewrap has its own switch for it.
    _prctl(_PR_SET_PDEATHSIG, int(_signal.SIGKILL))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if rules >= 0:
        from bacalhau_jupyter.engines.supervised.confinement import landlock

        landlock.restrict(rules)
    if program:
        load_filter(program)
