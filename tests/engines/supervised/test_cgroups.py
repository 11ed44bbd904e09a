"""Where jobs get control groups, decided from files of every kind of machine; no kernel is asked."""

from __future__ import annotations

import fcntl
import os
import resource
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.supervised.cgroups import delegated, limits, place
from bacalhau_jupyter.lib.text import write_text
from bacalhau_jupyter.models.jobs.resources import Resources

MOUNT = "30 24 0:26 {top} {point} {mode},nosuid - cgroup2 cgroup2 rw\n"
V1 = "33 24 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
UNIT = "/user.slice/user-1000.slice/user@1000.service/app.slice/jupyter.service"


def mounted(top: str = "/", point: str = "/sys/fs/cgroup", mode: str = "rw") -> str:
    return V1 + MOUNT.format(top=top, point=point, mode=mode)


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "expected"),
    [
        ("0::/\n", mounted(), place.Group("/sys/fs/cgroup", True, False)),
        (f"0::{UNIT}\n", mounted(), place.Group(f"/sys/fs/cgroup{UNIT}", False, False)),
        ("0::/a/bacalhau-others\n", mounted(), place.Group("/sys/fs/cgroup/a", False, True)),
        ("0::/bacalhau-others\n", mounted(), place.Group("/sys/fs/cgroup", True, True)),
        (
            "4:memory:/x\n0::/\n",
            mounted(point="/sys/fs/cgroup/unified"),
            place.Group("/sys/fs/cgroup/unified", True, False),
        ),
        ("0::/pod/c1\n", mounted("/pod"), place.Group("/sys/fs/cgroup/c1", False, False)),
        ("0::/a\n", mounted(point="/my\\040groups"), place.Group("/my groups/a", False, False)),
    ],
)
def test_the_group_of_a_node_is_found(cgroup: str, mountinfo: str, expected: place.Group) -> None:
    assert place.own_group(cgroup, mountinfo) == expected


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "reason"),
    [
        ("4:memory:/x\n", V1, "cgroup v2 is not mounted"),
        ("0::/\n", V1, "cgroup v2 is not mounted"),
        ("", "", "cgroup v2 is not mounted"),
        ("0::/\n", "nonsense\n\n - cgroup2 \n", "cgroup v2 is not mounted"),
        ("0::/../x\n", mounted(), "outside of what is mounted"),
        ("0::/podium\n", mounted("/pod"), "outside of what is mounted"),
    ],
)
def test_a_group_that_can_t_be_reached_is_none(cgroup: str, mountinfo: str, reason: str) -> None:
    with pytest.raises(place.NotDelegated, match=reason):
        place.own_group(cgroup, mountinfo)


ALL = frozenset(place.CONTROLLERS)
SCOPE = place.Group("/sys/fs/cgroup/scope", False, False)
TOP = place.Group("/sys/fs/cgroup", True, False)
ENTERED = place.Group("/sys/fs/cgroup/scope", False, True)


@pytest.mark.parametrize(
    ("group", "facts", "is_root", "reason"),
    [
        (SCOPE, place.Facts(ALL, True, False, 0), False, ""),
        (SCOPE, place.Facts(ALL, True, True, 7), False, ""),
        (SCOPE, place.Facts(ALL, True, True, 7), True, ""),
        (TOP, place.Facts(ALL, True, False, 7), True, ""),
        (ENTERED, place.Facts(ALL, True, False, 0), True, ""),
        (SCOPE, place.Facts(ALL, False, True, 0), False, "not delegated to this node's user"),
        (SCOPE, place.Facts(ALL, True, False, 1), False, "other programs run in"),
        (SCOPE, place.Facts(ALL, True, False, 0), True, "not marked as delegated"),
        (TOP, place.Facts(frozenset({"hugetlb"}), True, False, 0), True, "none of the controllers"),
    ],
)
def test_only_a_group_that_was_handed_over_is_used(
    group: place.Group, facts: place.Facts, is_root: bool, reason: str
) -> None:
    said = place.objection(group, facts, is_root=is_root)
    assert reason in said
    assert bool(said) == bool(reason)


def test_a_node_without_groups_says_why(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/scope\n")
    (tmp_path / "proc/self/mountinfo").write_text(mounted())
    group = tmp_path / "sys/fs/cgroup/scope"
    group.mkdir(parents=True)
    for name, text in {
        "procs": f"{os.getpid()}\n1\n",
        "controllers": "cpu pids",
        "subtree_control": "",
    }.items():
        (group / f"cgroup.{name}").write_text(text)
    nothing = delegated.prepare(tmp_path, is_marked=lambda path: False)
    assert nothing.directory is None
    assert "not marked as delegated" in nothing.problem
    assert nothing.group_of(tmp_path) is None
    (tmp_path / "proc/self/cgroup").unlink()
    assert "can't be used" in delegated.prepare(tmp_path).problem


def test_an_execution_s_limits_become_those_of_its_group() -> None:
    granted = Resources(cpu=1.5, memory=512 << 20)
    assert limits.settings(granted, ALL) == [
        ("memory.max", str(512 << 20)),
        ("memory.swap.max?", "0"),
        ("memory.oom.group?", "1"),
        ("cpu.max", "150000 100000"),
        ("pids.max", "4096"),
    ]
    assert limits.settings(Resources(), {"cpu"}) == []
    assert limits.settings(Resources(cpu=0.001), {"cpu"}) == [("cpu.max", "1000 100000")]
    of_a_process = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_DATA, 5)]
    assert limits.without_memory(of_a_process) == [(resource.RLIMIT_CORE, 0)]


@pytest.mark.parametrize(
    ("controllers", "words"),
    [
        (ALL, "CPU, memory and processes limited by cgroup"),
        ({"memory", "pids"}, "memory and processes limited by cgroup, CPU not limited"),
        ({"pids"}, "processes limited by cgroup, memory limited per process, CPU not limited"),
        ((), "memory limited per process, CPU not limited"),
    ],
)
def test_people_read_what_limits_a_job(controllers: frozenset[str], words: str) -> None:
    assert limits.in_words(controllers) == words


def test_groups_that_nobody_looks_after_are_removed(tmp_path: Path) -> None:
    ours = delegated.Delegated(tmp_path, ALL)
    kept, left, other = ours.group_of(Path("/a")), ours.group_of(Path("/b")), tmp_path / place.OTHERS
    assert kept is not None
    assert left is not None
    for each in (kept, left, other):
        each.mkdir()
    lock = os.open(kept, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    delegated.sweep(ours)
    assert sorted(tmp_path.iterdir()) == sorted([kept, other])
    os.close(lock)
    delegated.sweep(ours)
    assert list(tmp_path.iterdir()) == [other]


def test_a_group_that_is_tried_stays_while_another_node_tidies_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[str] = []

    def enter(path: Path, text: str) -> None:
        delegated.sweep(delegated.Delegated(tmp_path, ALL))
        write_text(path, text)
        entered.append(path.name)
        path.unlink()

    monkeypatch.setattr(delegated, "write_text", enter)
    delegated._try(tmp_path)
    assert entered == ["cgroup.procs"]
    assert list(tmp_path.iterdir()) == []
