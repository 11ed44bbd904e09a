"""The parts that need no process: laying out mounts, taking directories apart, Python paths, filters."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.process.visible_paths import View
from bacalhau_jupyter.engines.supervised.confinement import seccomp
from bacalhau_jupyter.engines.supervised.mounts import MAX_ENTRIES, Mount, TooManyEntries, lay_out


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/x", "a/secret/key", "a/secret-not/y", "a/deep/secret/z", "a/deep/w", "b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_shown_directory_without_secrets_stays_whole(tree: Path) -> None:
    view = View((tree / "a" / "deep", tree / "a", tree / "b"), (tree / "elsewhere",))
    assert view.outermost() == [tree / "a", tree / "b"]
    assert view.without_hidden() == [tree / "a", tree / "b"]


def test_a_directory_with_secrets_is_taken_apart_around_them(tree: Path) -> None:
    view = View(
        (tree / "a",), (tree / "a" / "secret", tree / "a" / "deep" / "secret", tree / "a" / "not-there")
    )
    assert view.covered() == [tree / "a" / "secret", tree / "a" / "deep" / "secret"]
    assert view.without_hidden() == [tree / "a" / "deep" / "w", tree / "a" / "secret-not", tree / "a" / "x"]


def test_a_link_does_not_lead_to_a_secret(tree: Path) -> None:
    (tree / "a" / "link").symlink_to(tree / "a" / "secret")
    shown = View((tree / "a",), (tree / "a" / "secret",)).without_hidden()
    assert tree / "a" / "link" not in shown
    assert View((tree / "a" / "secret",), (tree / "a",)).covered() == []


def test_mounts_are_ordered_and_one_inside_another_gets_room(tree: Path) -> None:
    laid = lay_out(
        [
            Mount("/inputs/deep/extra", tree / "b"),
            Mount("/outputs", tree / "out", writable=True),
            Mount("/inputs", tree / "a"),
        ]
    )
    places = {mount.target: mount.source for mount in laid}
    assert places == {
        "/inputs": None,
        "/inputs/x": tree / "a" / "x",
        "/inputs/secret": tree / "a" / "secret",
        "/inputs/secret-not": tree / "a" / "secret-not",
        "/inputs/deep": None,
        "/inputs/deep/w": tree / "a" / "deep" / "w",
        "/inputs/deep/secret": tree / "a" / "deep" / "secret",
        "/inputs/deep/extra": tree / "b",
        "/outputs": tree / "out",
    }
    order = [mount.target for mount in laid]
    assert all(
        order.index(target.rpartition("/")[0]) < order.index(target)
        for target in order
        if target.count("/") > 1
    )


def test_a_directory_with_too_many_entries_is_not_taken_apart(tmp_path: Path) -> None:
    for number in range(MAX_ENTRIES + 1):
        (tmp_path / str(number)).touch()
    with pytest.raises(TooManyEntries):
        lay_out([Mount("/inputs", tmp_path), Mount("/inputs/extra", tmp_path / "0")])
    assert len(lay_out([Mount("/inputs", tmp_path)])) == 1


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_filter_is_well_formed_on_every_machine(machine: str) -> None:
    profiles = [
        seccomp.Profile((seccomp.AF_UNIX, seccomp.AF_INET)),
        seccomp.Profile((), own_user=True, ipc=False, landlock_abi=1),
    ]
    for profile in profiles:
        code = list(struct.iter_unpack("<HBBI", seccomp.program(profile, machine)))
        assert len(code) < 4096
        for index, (operation, jump_true, jump_false, _) in enumerate(code):
            if operation & 7 == 5:  # no jump leaves the program
                assert index + 1 + max(jump_true, jump_false) < len(code)
        assert code[-1][0] == 6, "the last instruction returns"


def test_a_filter_for_another_machine_s_calls_kills(tmp_path: Path) -> None:
    code = list(struct.iter_unpack("<HBBI", seccomp.program(seccomp.Profile(()), "x86_64")))
    assert code[:3] == [(0x20, 0, 0, 4), (0x15, 1, 0, 0xC000003E), (6, 0, 0, 0x80000000)]
