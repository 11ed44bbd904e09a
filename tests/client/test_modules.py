"""Which modules beside a notebook travel with a job, and which never do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bacalhau_jupyter.client.inputs import modules
from bacalhau_jupyter.client.inputs.modules import imported, snapshot


def put(folder: Path, files: dict[str, str]) -> None:
    """Write files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def names(code: str, folder: Path) -> list[str]:
    """Return what travels with a code."""
    return sorted(snapshot([code], [folder]).files)


@pytest.mark.parametrize(
    ("code", "first_names"),
    [
        ("import a, b.c as d", ["a", "b"]),
        ("from a.b import c", ["a"]),
        ("from . import c", []),
        ("def f():\n    import late", ["late"]),
        ("!ls\nx = !ls\n%time\nimport a", ["a"]),
        ("import importlib\nimportlib.import_module('a.b')", ["importlib", "a"]),
        ("__import__('a'); f(b'x')  # import", ["a"]),
        ("import (", []),
        ("important = 1", []),
        ("'import a'", []),
    ],
)
def test_imports_are_found_wherever_they_stand(code: str, first_names: list[str]) -> None:
    assert imported(code) == first_names


def test_only_what_is_imported_travels_with_what_it_needs(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "a.py": "import package.inner",
            "unused.py": "",
            "package/__init__.py": "from loop import x",
            "package/inner.py": "",
            "package/data/table.csv": "1",
            "loop.py": "import a",
            "notes.txt": "",
        },
    )
    everything = ["a.py", "loop.py", "package/__init__.py", "package/inner.py"]
    assert names("import a", tmp_path) == everything
    assert names("import os, numpy", tmp_path) == []


def test_hidden_files_links_notebooks_and_caches_stay(tmp_path: Path) -> None:
    put(tmp_path / "secret", {"key.py": "KEY"})
    here = tmp_path / "here"
    put(
        here,
        {
            "p/__init__.py": "",
            "p/.env": "SECRET",
            "p/.git/config": "SECRET",
            "p/__pycache__/x.pyc": "",
            "p/n.ipynb": "",
            "p/deep/__pycache__/y.py": "",
            "q.py": "",
        },
    )
    (here / "p/linked.py").symlink_to(tmp_path / "secret/key.py")
    (here / "p/folder").symlink_to(tmp_path / "secret")
    (here / "r.py").symlink_to(tmp_path / "secret/key.py")
    (here / "s").symlink_to(tmp_path / "secret")
    (here / "inside.py").symlink_to("q.py")
    os.mkfifo(here / "p/pipe.py")
    assert names("import p, r, s, inside", here) == ["inside.py", "p/__init__.py"]


def test_what_is_mounted_into_the_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, {"p/__init__.py": "", "m.py": ""})
    monkeypatch.setattr(modules, "_device", lambda path: -1 if path == tmp_path else 1)
    assert names("import p, m", tmp_path) == []


def test_a_folder_that_is_too_large_stays_and_the_warning_says_which(tmp_path: Path) -> None:
    put(tmp_path, {"big/__init__.py": "", "small.py": "import big"})
    with (tmp_path / "big/generated.py").open("wb") as file:
        file.truncate(modules.SNAPSHOT_BYTES + 1)
    taken = snapshot(["import small"], [tmp_path])
    assert list(taken.files) == ["small.py"]
    assert str(tmp_path / "big") in taken.warning
    assert "install it for this kernel" in taken.warning
    assert len(taken.warning.splitlines()) == 1


SECRETS = (
    "server.pem",
    "credentials.json",
    "prod.env",
    "env",
    "id_rsa",
    "my-secrets.yaml",
    "api_token.txt",
    "run.ipynb",
)


def test_of_a_package_only_python_files_travel_whatever_lies_beside_them(tmp_path: Path) -> None:
    secrets = {f"p/conf/{name}": "SECRET" for name in SECRETS}
    put(
        tmp_path, {"p/__init__.py": "", "p/py.typed": "", "p/table.csv": "1", "p/weights.bin": "1", **secrets}
    )
    taken = snapshot(["import p"], [tmp_path])
    assert sorted(taken.files) == ["p/__init__.py", "p/py.typed"]
    assert taken.warning == ""
    assert set(taken.left_out) == {"p/table.csv", "p/weights.bin", *secrets}
    assert "and 7 more" in taken.summary


def test_declared_data_travels_and_secrets_do_not_though_a_pattern_holds_them(tmp_path: Path) -> None:
    project = """
        [tool.setuptools.package-data]
        p = ["data/*.csv", "all/**/*"]
        "p.inner" = ["*.json"]
        other = ["*.bin"]
    """
    put(
        tmp_path,
        {
            "pyproject.toml": project.replace("\n        ", "\n"),
            "p/__init__.py": "",
            "p/data/table.csv": "1",
            "p/data/deep/table.csv": "1",
            "p/data/notes.txt": "1",
            "p/inner/__init__.py": "",
            "p/inner/units.json": "1",
            "p/all/deep/er.txt": "1",
            "p/x.bin": "1",
            **{f"p/all/{name}": "SECRET" for name in SECRETS},
            "p/all/.env": "SECRET",
        },
    )
    assert names("import p", tmp_path) == [
        "p/__init__.py",
        "p/all/deep/er.txt",
        "p/data/table.csv",
        "p/inner/__init__.py",
        "p/inner/units.json",
    ]


@pytest.mark.parametrize("project", ["[", "tool = 1", "[tool.setuptools]\npackage-data = 3", "\0"])
def test_a_project_file_that_is_none_declares_nothing(project: str, tmp_path: Path) -> None:
    put(tmp_path, {"pyproject.toml": project, "p/__init__.py": "", "p/a.csv": ""})
    assert names("import p", tmp_path) == ["p/__init__.py"]


def test_data_that_the_package_names_and_that_stays_is_warned_of(tmp_path: Path) -> None:
    put(tmp_path, {"p/__init__.py": "read('table.csv')", "p/data/table.csv": "1", "p/README.md": ""})
    warning = snapshot(["import p"], [tmp_path]).warning
    assert warning.startswith("not sent: p/data/table.csv. ")
    assert "package-data" in warning and len(warning.splitlines()) == 1


def test_the_first_folder_that_has_a_module_counts(tmp_path: Path) -> None:
    put(tmp_path, {"one/a.py": "1", "two/a.py": "2", "two/b.py": "3"})
    taken = snapshot(["import a, b"], [tmp_path / "missing", tmp_path / "one", tmp_path / "two"])
    assert taken.files == {"a.py": b"1", "b.py": b"3"}
