"""Resolving with uv from an index on loopback: good requests, and bad ones of every kind."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from bacalhau_jupyter.client.packages import targets
from bacalhau_jupyter.client.packages.bytecode import compile_below
from bacalhau_jupyter.client.packages.requirements import Required, parse
from bacalhau_jupyter.client.packages.resolver import Place, Resolver
from bacalhau_jupyter.client.packages.targets import Target
from bacalhau_jupyter.client.packages.wheels import BuiltWheel
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, ConfigurationError, ResourceExhausted
from tests.packages.wheels import Index, make_wheel, save

ELSEWHERE = Target(words="CPython 3.12", version="3.12.4", platform="aarch64-manylinux_2_36")


def make(resolver: Resolver, place: Place, *texts: str, target: Target | None = None) -> list[str]:
    return resolver.make(parse(texts), target or targets.own(), place)


def test_a_package_comes_with_what_it_needs_and_its_commands(
    index: Index, resolver: Resolver, place: Place
) -> None:
    index.add(
        make_wheel("good", requires=("needed>=1",), scripts={"good": "good:main"}),
        make_wheel("needed", "1.2"),
    )
    said: list[str] = []
    locked = resolver.make(parse(["good"]), targets.own(), place, said.append)
    assert [line.split(" ")[0] for line in locked] == ["good==1.0", "needed==1.2"]
    assert all("--hash=sha256:" in line for line in locked)
    assert (place.site / "needed.py").read_text() == "VERSION = '1.2'\n"
    assert (place.site / "bin" / "good").read_text().startswith(f"#!{sys.executable}")
    assert said[0] == "resolving good" and "fetching 2 packages" in said


@pytest.mark.parametrize(
    ("platform", "tag"),
    [
        ("aarch64-manylinux_2_36", "cp312-cp312-manylinux_2_28_aarch64"),
        ("aarch64-manylinux_2_17", "cp312-cp312-manylinux2014_aarch64"),
        ("aarch64-unknown-linux-musl", "cp312-cp312-musllinux_1_2_aarch64"),
        ("x86_64-unknown-linux-musl", "py3-none-any"),
    ],
)
def test_wheels_are_chosen_for_the_target_not_for_this_machine(
    index: Index, resolver: Resolver, place: Place, platform: str, tag: str
) -> None:
    tags = (
        "cp312-cp312-manylinux_2_28_aarch64",
        "cp312-cp312-manylinux2014_aarch64",
        "cp312-cp312-musllinux_1_2_aarch64",
        "cp311-cp311-manylinux_2_28_x86_64",
        "py3-none-any",
    )
    index.add(*(make_wheel("native", files={"native.py": each.encode()}, tag=each) for each in tags))
    make(resolver, place, "native", target=dataclasses.replace(ELSEWHERE, platform=platform))
    assert (place.site / "native.py").read_text() == tag


def test_commands_for_another_machine_start_with_the_python_that_is_there(
    index: Index, resolver: Resolver, place: Place
) -> None:
    index.add(make_wheel("good", scripts={"good": "good:main"}))
    make(resolver, place, "good", target=ELSEWHERE)
    assert (place.site / "bin" / "good").read_text().startswith("#!/usr/bin/env python3\n")


def test_a_package_without_a_wheel_is_refused_and_nothing_of_it_runs(
    index: Index, resolver: Resolver, place: Place, tmp_path: Path
) -> None:
    index.add(("source_only-1.0.tar.gz", b"setup.py would run"))
    with pytest.raises(BadRequest, match=r"source-only has no wheel for .* would run its code") as refused:
        make(resolver, place, "source-only")
    assert "--no-binary source-only" in (refused.value.hint or "")
    assert not any("source_only-1.0.tar.gz" in path for path in index.requests)


@pytest.mark.parametrize(
    ("extras", "hint"), [(("fast", "Other_One"), "it has fast, other-one"), ((), "it has none")]
)
def test_an_extra_that_a_package_does_not_have_is_refused_with_those_it_has(
    index: Index, resolver: Resolver, place: Place, extras: tuple[str, ...], hint: str
) -> None:
    index.add(make_wheel("good", extras=extras))
    with pytest.raises(BadRequest, match="good has no extra nope") as refused:
        make(resolver, place, "good[nope]")
    assert hint in refused.value.hint


def test_an_extra_that_is_there_is_taken_however_it_is_spelled(
    index: Index, resolver: Resolver, place: Place
) -> None:
    index.add(make_wheel("good", extras=("other-one",)))
    assert make(resolver, place, "good[Other_One]")


def test_a_wheel_that_was_built_is_taken_whatever_the_index_has(
    index: Index, resolver: Resolver, place: Place, tmp_path: Path
) -> None:
    """Its place is in no line of the lock, its hash is."""
    made = make_wheel("good", files={"good.py": b"BUILT = True"}, requires=("needed",))
    index.add(make_wheel("good"), make_wheel("needed", "1.2"), make_wheel("user", requires=("good>=1",)))
    path = save(made, tmp_path)
    wheel = BuiltWheel("good", "1.0", path, hashlib.sha256(made[1]).hexdigest())
    required = [Required("good", "good", ("sha256:" + "0" * 64,), is_built=True), *parse(["user"])]
    locked = resolver.make(required, targets.own(), place, built=[wheel])
    assert locked[0] == f"good==1.0 --hash=sha256:{wheel.sha256}" and len(locked) == 3
    assert (place.site / "good.py").read_bytes() == b"BUILT = True" and "file:" not in f"{locked}"


def test_a_package_with_wheels_for_other_machines_only_is_refused(
    index: Index, resolver: Resolver, place: Place
) -> None:
    index.add(make_wheel("native", tag="cp39-cp39-win_amd64"))
    with pytest.raises(BadRequest, match="native has no wheel"):
        make(resolver, place, "native")


def test_a_package_that_does_not_exist_is_named(resolver: Resolver, place: Place) -> None:
    with pytest.raises(BadRequest, match="no package no-such-thing in the index"):
        make(resolver, place, "no-such-thing")


def test_an_index_that_refuses_access_is_not_taken_for_one_without_the_package(
    index: Index, place: Place
) -> None:
    index.add(make_wheel("good"))
    index.user, index.password = "ann", "right-secret"
    url = index.url.replace("//", "//ann:wrong-secret@")
    resolver = Resolver(environment={"UV_DEFAULT_INDEX": url, "HOME": str(place.cache)})
    with pytest.raises(BadRequest, match=r"the index 127.0.0.1:\d+ refuses access \(401 ") as refused:
        make(resolver, place, "good")
    assert "secret" not in f"{refused.value.message}{refused.value.hint}"


def test_an_index_that_does_not_answer_is_named_with_the_reason(place: Place) -> None:
    url = "http://ann:a-secret@127.0.0.1:1/simple"
    settings = {"UV_DEFAULT_INDEX": url, "UV_HTTP_RETRIES": "0", "HOME": str(place.cache)}
    with pytest.raises(BacalhauError) as refused:
        make(Resolver(environment=settings), place, "good")
    assert refused.value.message == "the index 127.0.0.1:1 can't be reached: Connection refused"


def test_a_conflict_is_told_in_words(index: Index, resolver: Resolver, place: Place) -> None:
    index.add(make_wheel("good", requires=("needed<1",)), make_wheel("needed", "1.2"))
    with pytest.raises(BadRequest, match=r"no versions fit together: .*needed"):
        make(resolver, place, "good")


def test_a_download_that_is_cut_leaves_an_error_and_the_next_one_works(
    index: Index, resolver: Resolver, place: Place
) -> None:
    made = make_wheel("good", files={"good.py": b"#" * 100_000})
    index.add(made)
    index.cut = made[0]
    with pytest.raises(BacalhauError, match="could not be fetched"):
        make(resolver, place, "good")
    index.cut = ""
    assert make(resolver, place, "good")


def test_a_file_that_is_not_the_one_of_the_lock_is_refused(
    index: Index, resolver: Resolver, place: Place
) -> None:
    index.add(make_wheel("good"))
    with pytest.raises(BadRequest, match="not the file that the requirements name by its hash"):
        resolver.make([Required("good", "good", ("sha256:" + "0" * 64,))], targets.own(), place)


def test_an_index_with_a_password_gets_it_and_nobody_else_sees_it(
    index: Index, resolver: Resolver, place: Place
) -> None:
    index.add(make_wheel("good"))
    index.user, index.password = "ann", "index-secret"
    url = index.url.replace("//", "//ann:index-secret@")
    own = dataclasses.replace(resolver, environment={**resolver.environment, "UV_DEFAULT_INDEX": url})
    locked = make(own, place, "good")
    assert "index-secret" not in repr([locked, own])
    assert not any(b"index-secret" in path.read_bytes() for path in place.site.rglob("*") if path.is_file())


def test_a_wrong_password_is_told_without_the_password(
    index: Index, resolver: Resolver, place: Place
) -> None:
    index.add(make_wheel("good"))
    index.user, index.password = "ann", "right"
    url = index.url.replace("//", "//ann:wrong-secret@")
    own = dataclasses.replace(resolver, environment={**resolver.environment, "UV_DEFAULT_INDEX": url})
    with pytest.raises(BacalhauError) as refused:
        make(own, place, "good")
    assert "wrong-secret" not in f"{refused.value}{refused.value.hint}"


def test_modules_are_compiled_once_but_not_tests_nor_what_can_not_be(
    index: Index, resolver: Resolver, place: Place
) -> None:
    names = ("good/__init__.py", "good/tests/test_good.py", "good/wrong.py")
    index.add(make_wheel("good", files={name: b"(" if "wrong" in name else b"A = 1" for name in names}))
    make(resolver, place, "good")
    compiled = {path.relative_to(place.site).as_posix() for path in place.site.rglob("*.pyc")}
    assert compiled == {f"good/__pycache__/__init__.{sys.implementation.cache_tag}.pyc"}
    # Flags of PEP 552: a hash that nobody checks.
    assert all(path.read_bytes()[4:8] == b"\1\0\0\0" for path in place.site.rglob("*.pyc"))


def test_source_that_takes_for_ever_to_compile_is_left(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "slow.py").write_bytes(b"\n".join(b"x%d = [%s]" % (n, b"1," * 2000) for n in range(5000)))
    compile_below(site, sys.executable, timeout_s=0.5)
    assert not list(site.rglob("*.pyc"))


def test_a_hostile_wheel_writes_nothing_beside_its_directory(
    index: Index, resolver: Resolver, place: Place, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.txt"
    index.add(
        make_wheel(
            "hostile",
            files={
                "hostile.py": b"",
                "../../outside.txt": b"slipped",
                str(outside): b"absolute",
                f"hostile-1.0.data/data/{outside}": b"data",
                "hostile-1.0.data/data/../../../outside.txt": b"data",
            },
            links={"etc": "/etc", "outside": ".."},
        )
    )
    # The control: the archive itself does lead outside for whoever follows its names.
    assert any(name.startswith("..") for name in zipfile.ZipFile(_saved(index, tmp_path)).namelist())
    try:
        make(resolver, place, "hostile")
    except BacalhauError:
        assert not outside.exists()
    assert not [
        path
        for path in tmp_path.rglob("outside.txt")
        if path.is_relative_to(tmp_path / "draft") is False and not path.is_relative_to(place.cache)
    ]
    assert not any(path.is_symlink() for path in place.site.rglob("*"))


def _saved(index: Index, directory: Path) -> Path:
    (directory / "saved").mkdir()
    path = directory / "saved" / "hostile.whl"
    path.write_bytes(next(iter(index.files.values())))
    return path


def test_an_archive_that_unpacks_to_more_than_there_is_room_for_is_ended(
    index: Index, resolver: Resolver, place: Place
) -> None:
    index.add(make_wheel("bomb", files={"bomb.bin": bytes(200_000_000)}))
    assert len(index.files["bomb-1.0-py3-none-any.whl"]) < 1_000_000
    with pytest.raises(ResourceExhausted, match="more than the 20"):
        make(resolver, dataclasses.replace(place, room=20_000_000), "bomb")


def test_many_files_that_are_too_much_together_are_refused(
    index: Index, resolver: Resolver, place: Place
) -> None:
    index.add(make_wheel("bomb", files={f"bomb/{number}.bin": bytes(5_000_000) for number in range(8)}))
    with pytest.raises(ResourceExhausted, match="more than the 20"):
        make(resolver, dataclasses.replace(place, room=20_000_000), "bomb")


def test_settings_in_the_current_directory_are_not_read(
    index: Index, resolver: Resolver, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uv.toml").write_text('find-links = ["http://127.0.0.1:9/evil"]\nno-index = true\n')
    monkeypatch.chdir(tmp_path)
    index.add(make_wheel("good"))
    assert make(resolver, place, "good")


def test_without_uv_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "/nothing")
    with pytest.raises(ConfigurationError, match="needs uv") as refused:
        make(Resolver(), place, "good")
    assert "bacalhau-jupyter[pip]" in (refused.value.hint or "")
