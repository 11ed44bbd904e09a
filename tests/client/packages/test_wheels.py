"""Wheels that a build left: one that is good, and one of each kind that is not."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bacalhau_jupyter.client.packages import targets, wheels
from bacalhau_jupyter.client.packages.requirements import parse
from bacalhau_jupyter.client.packages.targets import Target
from bacalhau_jupyter.client.packages.wheels import BuiltWheel, checked_wheel
from bacalhau_jupyter.models.errors import BadRequest
from tests.packages.wheels import make_wheel, record_line

Made = tuple[str, bytes]
OWN = f"cp{sys.version_info[0]}{sys.version_info[1]}"


def check(made: Made, tmp_path: Path, text: str = "good", target: Target | None = None) -> BuiltWheel:
    (source := tmp_path / "raw").write_bytes(made[1])
    (into := tmp_path / "made").mkdir()
    return checked_wheel(source, made[0], parse([text])[0], target or targets.own(), into)


def with_entries(made: Made, change: Callable[[zipfile.ZipFile], None]) -> Made:
    out = io.BytesIO(made[1])
    with zipfile.ZipFile(out, "a") as archive:
        change(archive)
    return made[0], out.getvalue()


def test_a_good_wheel_is_written_anew_with_the_same_files(tmp_path: Path) -> None:
    made = make_wheel("good", "1.5", files={"good/__init__.py": b"A = 1", "good/data.bin": bytes(3_000_000)})
    wheel = check(made, tmp_path, "Good>=1")
    assert (wheel.name, wheel.version, wheel.path.name) == ("good", "1.5", made[0])
    with zipfile.ZipFile(wheel.path) as new, zipfile.ZipFile(io.BytesIO(made[1])) as old:
        assert {name: new.read(name) for name in new.namelist()} == {
            name: old.read(name) for name in old.namelist()
        }


@pytest.mark.parametrize(
    ("words", "tag", "fits"),
    [
        ("CPython 3.12.4 Linux glibc 2.36 aarch64", "cp312-cp312-linux_aarch64", True),
        ("CPython 3.12.4 Linux glibc 2.36 aarch64", "cp38-abi3-manylinux_2_28_aarch64", True),
        ("CPython 3.12.4 Linux glibc 2.17 aarch64", "cp312-cp312-manylinux_2_28_aarch64", False),
        ("CPython 3.12.4 Linux musl x86_64", "cp312-cp312-musllinux_1_2_x86_64", True),
        ("CPython 3.12.4 Linux musl x86_64", "cp312-cp312-manylinux_2_17_x86_64", False),
        ("CPython 3.12.4 Linux glibc 2.36 aarch64", "cp311-cp311-linux_aarch64", False),
        ("CPython 3.12.4 Linux glibc 2.36 aarch64", "cp312-cp312-linux_x86_64", False),
    ],
)
def test_a_wheel_has_to_be_for_the_target(tmp_path: Path, words: str, tag: str, fits: bool) -> None:
    made = make_wheel("good", tag=tag)
    if fits:
        assert check(made, tmp_path, target=Target(words=words)).version == "1.0"
        return
    with pytest.raises(BadRequest, match=f"is not for {words}"):
        check(made, tmp_path, target=Target(words=words))


def renamed(name: str, made: Made) -> Made:
    return name, made[1]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (make_wheel("other"), "it is called other"),
        (renamed("good-1.0-py3-none-any.whl", make_wheel("other")), "the metadata of another package"),
        (renamed("good-1.0-py3-none-any.whl", make_wheel("good", "2.0")), "the metadata of another package"),
        (renamed("good.whl", make_wheel("good")), "is no name of one"),
        (renamed("../good-1.0-py3-none-any.whl", make_wheel("good")), "is no name of one"),
        (renamed("good-1.0-py3-none-any.whl\u202e", make_wheel("good")), "is no name of one"),
        (make_wheel("good", "0.5"), "its version 0.5 is not >=1"),
        (make_wheel("good", wrong_record=True), "RECORD has another hash of good.py"),
        (make_wheel("good", unlisted={"more.py": b"x"}), "RECORD does not list more.py"),
        (make_wheel("good", unlisted={"../outside.py": b"x"}), "is no name for a file"),
        (make_wheel("good", unlisted={"/etc/outside.py": b"x"}), "is no name for a file"),
        (make_wheel("good", unlisted={"a\\..\\outside.py": b"x"}), "is no name for a file"),
        (make_wheel("good", unlisted={"a//b.py": b"x"}), "is no name for a file"),
        (make_wheel("good", unlisted={"a\x1b[2J.py": b"x"}), "is no name for a file"),
        (make_wheel("good", links={"link.py": "/etc/passwd"}), "link.py is no plain file"),
        (make_wheel("good", requires=("x @ git+https://evil.example/x",)), "needs a package from a URL"),
        (make_wheel("good", requires=("x @\n https://evil.example/x",)), "names what can't be read"),
        (make_wheel("good", requires=("not a requirement !",)), "names what can't be read"),
        (make_wheel("good", extras=("a\nName: other",)), "that of another package"),
        (renamed(f"good-1.0-{OWN}-none-any.whl", make_wheel("good")), "not those of its name"),
        (
            make_wheel("good", unlisted={"evil-1.0.dist-info/METADATA": b"x"}),
            "the metadata of another package",
        ),
        (("good-1.0-py3-none-any.whl", b"not a zip file"), "it can't be read"),
        (("good-1.0-py3-none-any.whl", make_wheel("good")[1][:-30]), "it can't be read"),
    ],
)
def test_a_wheel_that_is_not_what_it_says_is_refused(tmp_path: Path, made: Made, reason: str) -> None:
    with pytest.raises(BadRequest, match="is no wheel of it") as refused:
        check(made, tmp_path, "good>=1")
    assert reason in refused.value.message


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        made = with_entries(make_wheel("good"), lambda archive: archive.writestr("good.py", b"other"))
    with pytest.raises(BadRequest, match="two of its files have one name"):
        check(made, tmp_path)


def test_a_file_that_record_lists_and_that_is_not_there_is_refused(tmp_path: Path) -> None:
    made = make_wheel("good")
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(made[1])) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("RECORD"):
                data = record_line("absent.py", b"x").encode() + b"\n" + data
            new.writestr(name, data)
    with pytest.raises(BadRequest, match=r"RECORD lists absent.py, which is not there"):
        check((made[0], out.getvalue()), tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "MAX_WHEEL", 1_000_000)
    with pytest.raises(BadRequest, match="unpacks to more than 1"):
        check(make_wheel("good", files={"zeros.bin": bytes(2_000_000)}), tmp_path)
