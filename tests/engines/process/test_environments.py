"""Which environments a node takes, what it keeps of them, and when it no longer shows them."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.process.environments import Forbidden, NotShown, Registry, registry
from bacalhau_jupyter.engines.process.environments.check import MAX_PATHS, Registered, check
from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.engines.supervised.confinement import pinned
from bacalhau_jupyter.engines.supervised.confinement.pinned import Changed, open_again, open_pinned, open_real
from bacalhau_jupyter.engines.supervised.sockets import listening_below, sockets_below
from bacalhau_jupyter.models.codec import convert
from bacalhau_jupyter.models.records.environments import PythonDescription, environment_hash
from tests.engines.process.pythons import SITE, make_python

NOTHING = Forbidden([])


def described(prefix: Path, *paths: str | Path) -> PythonDescription:
    make_python(prefix)
    return PythonDescription(
        executable=str(prefix / "bin" / "python3"),
        prefixes=[str(prefix)],
        paths=[str(path) for path in paths],
    )


def targets(registered: Registered) -> set[Path]:
    return {Path(place.target) for place in registered.places}


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_the_running_interpreter_is_shown() -> None:
    prefixes = [sys.prefix, sys.base_prefix]
    registered = check(PythonDescription(executable=sys.executable, prefixes=prefixes), NOTHING)
    assert registered.left_out == []
    outside = {Path(prefix) for prefix in prefixes if not Path(prefix).is_relative_to("/usr")}
    assert outside <= targets(registered)


def test_an_import_path_counts_when_the_environment_refers_to_it(tmp_path: Path) -> None:
    project, other = tmp_path / "project", tmp_path / "other"
    project.mkdir()
    other.mkdir()
    python = described(tmp_path / "env", project, other, "..", tmp_path / "env/lib")
    (tmp_path / "env" / SITE / "dev.pth").write_text(f"import x\n# {other}\n{project}\n")
    registered = check(python, NOTHING)
    assert targets(registered) == {tmp_path / "env", project}
    assert set(registered.left_out) == {str(other), ".."}


def test_a_user_site_is_shown_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    real = tmp_path / "real" / SITE
    real.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    site = tmp_path / "link" / SITE
    registered = check(PythonDescription(paths=[str(site)]), NOTHING)
    assert targets(registered) == {site, real}
    assert {place.real for place in registered.places} == {str(real)}


def test_a_named_fifo_or_a_link_to_one_is_not_a_pth_file(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    python = described(tmp_path / "env", project)
    os.mkfifo(tmp_path / "env" / SITE / "a.pth")
    (tmp_path / "env" / SITE / "b.pth").symlink_to("a.pth")
    assert check(python, NOTHING).left_out == [str(project)]


# --- what is refused --------------------------------------------------------------------------------------------------

EVERYTHING = ["/", "//", "/.", "/usr/..", "///", "/proc/self/root", "/proc/1/root", "/proc/self/cwd/../../.."]


@pytest.mark.parametrize(
    "prefix", [*EVERYTHING, "/etc", "/home", "/root", "/var", "/run", "/sys", "/dev", "/tmp"]
)
def test_no_prefix_shows_the_whole_machine_however_it_is_spelled(prefix: str) -> None:
    with pytest.raises(NotShown, match=r"does not show|can't see"):
        check(PythonDescription(prefixes=[prefix]), NOTHING)


@pytest.mark.parametrize("way", ["/proc/self/root", "/proc/self/cwd", "/proc/self/fd/0"])
def test_not_even_the_way_may_lead_through_the_process_file_system(tmp_path: Path, way: str) -> None:
    make_python(tmp_path / "env")
    with pytest.raises(NotShown, match="nothing below /proc"):
        check(PythonDescription(prefixes=[f"{way}{tmp_path}/env"]), NOTHING)


def test_a_link_to_the_whole_machine_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    make_python(tmp_path / "env")
    (tmp_path / "link").symlink_to("/")
    with pytest.raises(NotShown, match="more than a Python environment"):
        check(PythonDescription(prefixes=[str(tmp_path / "link")]), NOTHING)


def test_a_home_directory_is_refused_but_an_environment_inside_one_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "homes", lambda: frozenset({tmp_path}))
    make_python(tmp_path)
    site = tmp_path / ".local" / SITE
    site.mkdir(parents=True)
    (tmp_path / SITE / "all.pth").write_text(f"{tmp_path}\n")
    with pytest.raises(NotShown, match="more than a Python environment"):
        check(PythonDescription(prefixes=[str(tmp_path)]), NOTHING)
    registered = check(described(tmp_path / "venv", site, tmp_path), NOTHING)
    assert targets(registered) == {tmp_path / "venv", site}
    assert registered.left_out == [str(tmp_path)]


def test_an_environment_inside_a_secret_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotShown, match="never shown"):
        check(described(tmp_path / "repo" / "env"), Forbidden([tmp_path / "repo"]))


def test_an_environment_in_which_jobs_may_write_is_refused(tmp_path: Path) -> None:
    python = described(tmp_path / "shared" / "env")
    with pytest.raises(NotShown, match="jobs may write"):
        check(python, Forbidden([], lambda path: path == tmp_path / "shared"))


def test_the_scratch_of_a_job_is_not_an_environment(tmp_path: Path) -> None:
    with pytest.raises(NotShown, match="belongs to a job"):
        check(described(tmp_path / "bacalhau-job-x" / "env"), NOTHING)


def test_a_socket_as_import_path_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.sock")
        python = described(tmp_path / "env", tmp_path / "s.sock")
        (tmp_path / "env" / SITE / "x.pth").write_text(f"{tmp_path}/s.sock\n")
        assert check(python, NOTHING).left_out == [str(tmp_path / "s.sock")]


@pytest.mark.parametrize(
    ("member", "wrong"),
    [
        ("prefixes", "/no/such/prefix"),
        ("paths", "/no/such/path"),
        ("executable", "/no/such/python"),
        ("executable", "relative"),
        ("executable", "/etc/passwd"),
        ("prefixes", "relative"),
        ("prefixes", "/a\0b"),
        ("paths", "/" + "x" * 5000),
        ("paths", "/x\udcff"),
    ],
)
def test_a_path_that_is_not_an_environment_is_refused_with_a_sentence(member: str, wrong: str) -> None:
    description = convert({member: wrong if member == "executable" else [wrong]}, PythonDescription, "x")
    with pytest.raises(NotShown) as refused:
        check(description, NOTHING)
    assert "\n" not in str(refused.value)


def test_too_many_paths_are_refused() -> None:
    with pytest.raises(NotShown, match="more than"):
        check(PythonDescription(paths=[f"/{number}" for number in range(MAX_PATHS + 1)]), NOTHING)


# --- names ------------------------------------------------------------------------------------------------------------


def test_equal_environments_have_equal_names_in_whatever_order_and_spelling() -> None:
    one = PythonDescription(executable="/v/bin/python", prefixes=["/v", "/usr"], paths=["/a", "/b"])
    two = PythonDescription(executable="//v/bin/./python", prefixes=["/usr/", "/v", "/v"], paths=["/b", "/a"])
    assert environment_hash(one) == environment_hash(two)
    assert environment_hash(one) != environment_hash(PythonDescription(executable="/v/bin/python"))


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_an_environment_survives_the_node_in_a_file_of_its_user_only(tmp_path: Path) -> None:
    registered = Registry(tmp_path / "kept").register(described(tmp_path / "env"), NOTHING)
    again = Registry(tmp_path / "kept")
    assert again.find(registered.name) == registered
    assert again.all() == [registered]
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "kept").iterdir()] == [0o600]


@pytest.mark.parametrize("name", ["", "../env", "0" * 64, "x" * 64, "0" * 63 + "/"])
def test_an_unknown_name_is_nothing(tmp_path: Path, name: str) -> None:
    assert Registry(tmp_path).find(name) is None


def test_a_damaged_record_is_nothing_and_can_be_registered_again(tmp_path: Path) -> None:
    kept = Registry(tmp_path / "kept")
    python = described(tmp_path / "env")
    registered = kept.register(python, NOTHING)
    (tmp_path / "kept" / f"{registered.name}.json").write_text('{"Name": 7')
    assert kept.find(registered.name) is None
    assert kept.all() == []
    assert kept.register(python, NOTHING) == registered


def test_only_so_many_are_kept_and_the_oldest_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_ENVIRONMENTS", 2)
    kept = Registry(tmp_path / "kept")
    names = []
    for number in range(3):
        registered = kept.register(described(tmp_path / str(number)), NOTHING)
        os.utime(tmp_path / "kept" / f"{registered.name}.json", ns=(number, number))
        names.append(registered.name)
    assert {each.name for each in kept.all()} == set(names[1:])


def test_registering_again_looks_again(tmp_path: Path) -> None:
    kept = Registry(tmp_path / "kept")
    python = described(tmp_path / "env")
    first = kept.register(python, NOTHING)
    assert kept.register(python, NOTHING) == first
    (tmp_path / "env").rename(tmp_path / "old")
    make_python(tmp_path / "env")
    second = kept.register(python, NOTHING)
    assert second.name == first.name
    assert second.places != first.places
    kept.verify(second, NOTHING)


def swap_for_link(prefix: Path) -> None:
    prefix.rename(prefix.with_name("moved"))
    prefix.symlink_to(prefix.with_name("moved"))


def swap_for_another(prefix: Path) -> None:
    prefix.rename(prefix.with_name("moved"))
    make_python(prefix)


def swap_the_parent(prefix: Path) -> None:
    prefix.parent.rename(prefix.parent.with_name("elsewhere"))
    prefix.parent.symlink_to(prefix.parent.with_name("elsewhere"))


@pytest.mark.parametrize(
    "swap", [swap_for_link, swap_for_another, swap_the_parent, lambda path: path.rename("x")]
)
def test_what_was_swapped_since_is_no_longer_shown(
    tmp_path: Path, swap: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = Registry(tmp_path / "kept")
    registered = kept.register(described(tmp_path / "place" / "env"), NOTHING)
    kept.verify(registered, NOTHING)
    swap(tmp_path / "place" / "env")
    with pytest.raises(NotShown, match="place/env"):
        kept.verify(registered, NOTHING)


def test_what_may_no_longer_be_shown_is_refused_though_it_was_registered(tmp_path: Path) -> None:
    kept = Registry(tmp_path / "kept")
    registered = kept.register(described(tmp_path / "env"), NOTHING)
    with pytest.raises(NotShown, match="jobs may write"):
        kept.verify(registered, Forbidden([], lambda path: path == tmp_path))
    with pytest.raises(NotShown, match="never shown"):
        kept.verify(registered, Forbidden([tmp_path]))


def test_after_a_restart_of_the_machine_numbers_of_devices_do_not_count(tmp_path: Path) -> None:
    kept = Registry(tmp_path / "kept")
    registered = kept.register(described(tmp_path / "env"), NOTHING)
    assert kept.device(registered, 5) == 5
    kept._boot = "another"
    assert kept.device(registered, 5) == 0
    kept.verify(registered, NOTHING)


# --- descriptors ------------------------------------------------------------------------------------------------------


def test_a_real_path_is_opened_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    descriptor = open_real(str(tmp_path / "a" / "b"))
    info = os.fstat(descriptor)
    os.close(descriptor)
    assert info.st_ino == (tmp_path / "a" / "b").stat().st_ino
    for path in ("link", "link/b"):
        with pytest.raises(OSError, match="link"):
            open_real(str(tmp_path / path))
    os.close(open_pinned(str(tmp_path / "a" / "b"), info.st_dev, info.st_ino))
    os.close(open_pinned(str(tmp_path / "a" / "b"), 0, info.st_ino))
    for device, inode in ((info.st_dev + 1, info.st_ino), (info.st_dev, info.st_ino + 1), (0, 0)):
        with pytest.raises(Changed, match="no longer"):
            open_pinned(str(tmp_path / "a" / "b"), device, inode)


def test_where_files_are_numbered_anew_only_the_way_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    info = (tmp_path / "a").stat()
    with pytest.raises(Changed, match="no longer"):
        open_again(str(tmp_path / "a"), info.st_dev, info.st_ino + 1)
    monkeypatch.setattr(pinned, "_numbers_anew", lambda device: device == info.st_dev)
    os.close(open_again(str(tmp_path / "a"), info.st_dev, info.st_ino + 1))
    with pytest.raises(Changed, match="no longer"):
        open_again(str(tmp_path / "a"), info.st_dev + 1, info.st_ino)
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").symlink_to("b")
    with pytest.raises(Changed, match="can't show"):
        open_again(str(tmp_path / "a"), info.st_dev, info.st_ino)


def test_this_machine_s_disk_keeps_its_numbers(tmp_path: Path) -> None:
    assert not pinned._numbers_anew(tmp_path.stat().st_dev)
    assert not pinned._numbers_anew(0)


def test_sockets_are_found_by_looking_and_by_asking_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path / "deep")
    path = str(tmp_path / "deep" / "s.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))
        assert sockets_below([str(tmp_path)]) == [path]
        assert listening_below([str(tmp_path)]) == []  # the kernel knows only the name that was bound
    os.unlink(path)  # noqa: PTH108
    if len(path) < 100:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            assert listening_below([str(tmp_path)]) == [path]
            assert listening_below([str(tmp_path / "elsewhere")]) == []
