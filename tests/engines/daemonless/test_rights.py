"""Where images can't run without a Docker Engine, the engine names the right that is missing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.daemonless.rights import Facts, facts, missing
from bacalhau_jupyter.engines.supervised.supervisor.exit_record import start_error
from tests.engines.daemonless import places
from tests.services.common import ServiceUnavailableError

REFUSED = "the job could not be confined (confine): unshare: Operation not permitted"
FILTER_OFF = ("--security-opt", "seccomp=unconfined")
PROC_OPEN = ("--security-opt", "systempaths=unconfined")
ROOT, ADMIN = ("--user", "0:0"), ("--cap-add", "SYS_ADMIN")
VOLUME = ("--tmpfs", "/tmp:exec,mode=1777")


@pytest.mark.parametrize(
    ("problem", "about", "named"),
    [
        (REFUSED, Facts(namespaces="0", seccomp="2"), "user.max_user_namespaces is 0"),
        (REFUSED, Facts(unprivileged="0"), "kernel.unprivileged_userns_clone is 0"),
        (
            REFUSED,
            Facts(namespaces="9", unprivileged="1", seccomp="2"),
            "filter of system calls refuses that",
        ),
        (REFUSED, Facts(namespaces="9", seccomp="0"), "in a chroot"),
        ("user namespaces can't be made here", Facts(seccomp="2"), "filter of system calls"),
        ("(bwrap: Can't mount proc on /newroot/proc: Operation not permitted)", Facts(), "procMount"),
        (
            "mount overlay: Invalid argument",
            Facts(file_system="overlay"),
            "the compute directory (overlay): put",
        ),
        ("mount overlay: Permission denied", Facts(apparmor="1"), "AppArmor"),
        ("mount: Permission denied", Facts(apparmor="1"), "AppArmor"),
        (
            "uid_map: Operation not permitted",
            Facts(seccomp="2", is_bare_root=True),
            "run the node as an ordinary",
        ),
        (REFUSED, Facts(namespaces="0", is_bare_root=True), "run the node as an ordinary"),
        ("(bwrap: pivot_root: Operation not permitted)", Facts(seccomp="2"), "filter of system calls"),
        ("mount_setattr: Invalid argument", Facts(), "Linux 5.19"),
        ("uid_map: Operation not permitted", Facts(lacks_users=True), "lacks the users of jobs in images"),
    ],
)
def test_the_missing_right_is_named(problem: str, about: Facts, named: str) -> None:
    assert named in missing(problem, about)


def test_a_refused_step_is_named_and_a_path_of_the_node_is_not() -> None:
    plan: Any = {"argv": ["/x"], "cwd": "/"}
    step = OSError(errno.EPERM, "unshare: Operation not permitted")
    assert start_error(plan, "confine", errno.EPERM, str(step)) == REFUSED
    path = FileNotFoundError(errno.ENOENT, "No such file or directory", "/home/node/secret")
    assert "secret" not in start_error(plan, "confine", errno.ENOENT, str(path))


def test_what_is_not_known_is_not_guessed() -> None:
    assert missing("a trial program failed with exit code 1", Facts(apparmor="1", seccomp="2")) == ""


def test_facts_come_from_the_kernel(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "sys/kernel").mkdir(parents=True)
    (proc / "self/status").write_text("Name:\tx\nSeccomp:\t2\nbroken\n")
    (proc / "sys/kernel/apparmor_restrict_unprivileged_userns").write_text("1\n")
    inner = tmp_path.resolve() / "data"
    mounts = f"overlay / overlay rw 0 0\nbroken\nx {inner} ext4 rw 0 0\ny {inner}2 tmpfs rw 0 0\n"
    (proc / "self/mounts").write_text(mounts)
    assert facts(inner / "deep", proc) == Facts("", "", "1", "2", "ext4")
    assert facts(tmp_path, proc).file_system == "overlay"
    assert facts(tmp_path, tmp_path / "none") == Facts()


def possible_or_skip(check: Callable[[], str]) -> str:
    """Run a check; skip where it takes another Python, which no service can bring."""
    try:
        return check()
    except ServiceUnavailableError as reason:
        pytest.skip(str(reason))


@pytest.mark.root
@pytest.mark.process
def test_a_user_without_namespaces_is_told_so() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can take the right away")
    said = possible_or_skip(places.without_namespaces)
    assert "problem: an image needs user namespaces, and they are off here (user.max_user_namespaces" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "problem: an image needs user namespaces, and this container's filter of system calls"),
        (
            FILTER_OFF,
            "problem: no overlay can be mounted over the file system of the compute directory (over",
        ),
        ((*FILTER_OFF, *VOLUME), "problem: a job in an image needs a /proc of its own"),
        ((*FILTER_OFF, *VOLUME, *PROC_OPEN), "runtime: bubblewrap"),
        (ROOT, "problem: an image needs user namespaces, and this container's filter of system calls"),
        ((*ROOT, *FILTER_OFF, *VOLUME), "problem: root may not mount here (no CAP_SYS_ADMIN)"),
        (
            (*ROOT, *ADMIN, *VOLUME, *PROC_OPEN),
            "problem: an image needs a root of its own, and this container's filt",
        ),
        ((*ROOT, *ADMIN, *FILTER_OFF, *VOLUME, *PROC_OPEN), "runtime: bubblewrap"),
    ],
)
def test_containers_with_one_right_after_the_other(
    docker_engine: str, python_image: str, options: tuple[str, ...], said: str
) -> None:
    assert said in possible_or_skip(lambda: places.in_docker(docker_engine, python_image, *options))
