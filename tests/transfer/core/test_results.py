"""Several results in one directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import Conflict
from bacalhau_jupyter.transfer.core.layout import merge_results
from tests.transfer.helpers import names


def result(root: Path, name: str, **files: str) -> Path:
    directory = root / name
    directory.mkdir()
    for path, text in {"stdout": f"{name}\n", "stderr": "", "exitCode": "0", **files}.items():
        file = directory / path.replace("__", "/")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return directory


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_one_result_is_moved_as_it_is(tmp_path: Path) -> None:
    target = tmp_path / "job"
    target.mkdir()
    merge_results([result(tmp_path, "a", outputs__x="1")], target)
    assert contents(target) == {"stdout": "a\n", "stderr": "", "exitCode": "0", "outputs/x": "1"}
    assert names(tmp_path) == ["job"]


def test_streams_and_exit_codes_are_joined_in_order_and_directories_merge(tmp_path: Path) -> None:
    target = tmp_path / "job"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    merge_results(
        [result(tmp_path, "b", outputs__x="1"), result(tmp_path, "a", outputs__y="2", exitCode="3")], target
    )
    assert contents(target) == {
        "stdout": "b\na\n",
        "stderr": "",
        "exitCode": "03",
        "outputs/x": "1",
        "outputs/y": "2",
        "notes.txt": "mine",
    }


@pytest.mark.parametrize(
    "kind", ["twice", "there already", "stdout there", "file and directory", "link as stdout"]
)
def test_a_clash_moves_nothing_names_the_path_and_suggests_raw(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "job"
    target.mkdir()
    (target / "precious").write_text("mine")
    first, second = result(tmp_path, "a", outputs__x="1"), result(tmp_path, "b")
    clash = "outputs/x"
    if kind == "twice":
        (second / "outputs").mkdir()
        (second / "outputs/x").write_text("2")
    elif kind == "there already":
        (target / "outputs").mkdir()
        (target / "outputs/x").write_text("old")
    elif kind == "stdout there":
        clash = "stdout"
        (target / "stdout").write_text("old")
    elif kind == "file and directory":
        clash = "outputs"
        (second / "outputs").write_text("a file")
    else:
        # Unpacked it leads inside; moved, it would lead to what is in the target.
        clash = "stdout"
        (first / "stdout").unlink()
        (first / "stdout").symlink_to("precious")
    before = contents(target)
    with pytest.raises(Conflict) as caught:
        merge_results([first, second], target)
    assert str(caught.value) == f"cannot merge results as output already exists: {target / clash}"
    assert "--raw" in caught.value.hint
    assert contents(target) == before
    assert (first / "outputs/x").exists()
