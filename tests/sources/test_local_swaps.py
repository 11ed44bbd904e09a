"""Paths of the host that change while they are checked, or lie in directories that jobs may write to."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.models.errors import ConfigurationError, IOFailure
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.source import FetchRequest
from bacalhau_jupyter.sources import local as module
from bacalhau_jupyter.sources.allowlist import parse_allow_list
from tests.sources.test_local import ask, make, root, source

__all__ = ["root"]


def at(path: Path) -> tuple[int, int]:
    facts = path.stat(follow_symlinks=False)
    return facts.st_dev, facts.st_ino


def execution_on(engine: str) -> Execution:
    return Execution(job=Job(tasks=[Task(name="main", engine=SpecConfig(type=engine))]))


def swap(path: Path, to: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to(to)


async def test_a_fetch_says_which_object_was_checked(root: Path) -> None:
    local = make(root, "ROOT/a:rw", "ROOT/a/b/c/*:ro")
    for name, params in (("a", {"ReadWrite": True}), ("a/b/c/file", {})):
        _, mount = await ask(local, source(str(root / name), **params), root)
        assert (mount.checked, mount.jobs_write) == (at(root / name), True)
    _, mount = await ask(make(root, "ROOT/a"), source(str(root / "a")), root)
    assert (mount.checked, mount.jobs_write) == (at(root / "a"), False)


async def test_a_path_that_is_swapped_after_the_list_was_read_is_not_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = module._check_allowed

    def late(path: Path, *rest: Any) -> None:
        check(path, *rest)
        swap(root / "a/b", root / "secret")

    monkeypatch.setattr(module, "_check_allowed", late)
    local, spec = make(root, "ROOT/a/**"), source(f"{root}/a/b")
    with pytest.raises(IOFailure, match="it was replaced while it was checked"):
        await local.fetch(FetchRequest(Execution(), spec, root))
    # Control: following the path finds the other directory.
    assert at(Path(os.path.realpath(root / "a/b"))) == at(root / "secret")


@pytest.mark.parametrize("kind", ["dir", "file"])
async def test_nothing_is_created_behind_a_link_that_was_just_put_there(
    root: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = module._check_creation

    def late(*args: Any) -> None:
        check(*args)
        swap(root / "a/b", root / "secret")

    monkeypatch.setattr(module, "_check_creation", late)
    local = make(root, "ROOT/a/**:rw")
    spec = source(f"{root}/a/b/new/x", ReadWrite=True, CreateAs=kind)
    with pytest.raises(IOFailure, match="it was replaced while it was checked"):
        await local.fetch(FetchRequest(Execution(), spec, root))
    assert [path.name for path in (root / "secret").iterdir()] == ["key"]
    # Control: made by its path, it lands behind the link.
    (root / "a/b/new/x").mkdir(parents=True)
    assert (root / "secret/new/x").is_dir()


async def test_a_link_that_a_job_may_have_made_gives_no_entry_another_meaning(root: Path) -> None:
    """A job with the first entry puts a link where the second one starts; no race is needed."""
    local = make(root, "ROOT/a:rw", "ROOT/a/b/**")
    assert (await ask(local, source(f"{root}/a/b/c"), root))[0].accepted
    swap(root / "a/b", root / "secret")
    for path in ("secret/key", "secret", "a/b/key", "a/b"):
        _, refused = await ask(local, source(f"{root}/{path}"), root)
        assert isinstance(refused, ConfigurationError)
        assert "not allowlisted" in refused.message
    # Control: an entry whose links are always followed allows the secret.
    entries = ["/none", f"{root}/a/b/**"]
    assert any(replace(entry, real="").matches(root / "secret/key") for entry in parse_allow_list(entries))


async def test_the_same_through_a_link_of_the_owner_s(root: Path) -> None:
    (root / "linked").symlink_to(root / "a")
    local = make(root, "ROOT/linked:rw", "ROOT/a/b/**")
    swap(root / "a/b", root / "secret")
    _, refused = await ask(local, source(f"{root}/secret/key"), root)
    assert isinstance(refused, ConfigurationError)


@pytest.mark.parametrize("writable", [False, True])
async def test_below_what_jobs_may_write_only_engines_that_mount_descriptors_get_a_path(
    root: Path, writable: bool
) -> None:
    local, spec = make(root, "ROOT/a:rw", "ROOT/a/**:rw"), source(f"{root}/a/b/c", ReadWrite=writable)
    assert (await local.bid(execution_on("process"), spec)).accepted
    for engine in ("docker", "something"):
        bid = await local.bid(execution_on(engine), spec)
        assert bid.reason.startswith(
            f"this node can't share {root}/a/b/c with {engine} jobs: jobs may write to "
        )
        assert f"mount {root}/a and use b/c in it" in bid.reason
        with pytest.raises(ConfigurationError):
            await local.fetch(FetchRequest(execution_on(engine), spec, root))
    # The directory itself is not to be swapped by those who may write in it.
    assert (await local.bid(execution_on("docker"), source(f"{root}/a", ReadWrite=writable))).accepted


async def test_parts_that_are_shared_one_by_one_are_for_every_engine(root: Path) -> None:
    local, spec = make(root, "ROOT/a/*:rw"), source(f"{root}/a/b", ReadWrite=True)
    assert (await local.bid(execution_on("docker"), spec)).accepted


async def test_without_openat2_the_same_objects_are_found(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beneath, "_resolve", beneath.by_name)
    _, mount = await ask(make(root, "ROOT/a/**"), source(f"{root}/a/b/c/file"), root)
    assert mount.checked == at(root / "a/b/c/file")
