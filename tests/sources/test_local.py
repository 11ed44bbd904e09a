"""Paths of the host: only what its owner allows, by whatever name it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError, IOFailure
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import Bid, InputMount
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.source import FetchRequest
from bacalhau_jupyter.sources.local import LocalDirectorySource
from tests.services.common import is_root
from tests.transfer.helpers import names


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """``a/b/c/file``, ``secret/key`` and ``repo/key`` below a path without links."""
    place = tmp_path.resolve()
    (place / "a/b/c").mkdir(parents=True)
    (place / "a/b/c/file").write_text("data")
    for hidden in ("secret", "repo"):
        (place / hidden).mkdir()
        (place / hidden / "key").write_text("secret")
    return place


def make(root: Path, *allowed: str) -> LocalDirectorySource:
    entries = [entry.replace("ROOT", str(root)) for entry in allowed]
    return LocalDirectorySource(
        PluginOptions(
            node_id="n-1",
            data_dir=root / "repo/compute",
            settings={"Compute.AllowListedLocalPaths": entries}.get,
            hidden=(root / "repo",),
        )
    )


def source(path: object, **params: Any) -> InputSource:
    return InputSource(
        source=SpecConfig(type="localDirectory", params={"SourcePath": path, **params}), target="/inputs"
    )


async def ask(local: LocalDirectorySource, spec: InputSource, directory: Path) -> tuple[Bid, Any]:
    """Return the bid, and the mount or the error of a fetch."""
    bid = await local.bid(Execution(), spec)
    try:
        return bid, await local.fetch(FetchRequest(Execution(), spec, directory))
    except BacalhauError as error:
        return bid, error


@pytest.mark.parametrize(
    ("entry", "path", "allowed"),
    [
        ("ROOT/a", "a", True),
        ("ROOT/a/", "a", True),
        ("ROOT/a", "a/", True),
        ("ROOT/a", "a/b", False),
        ("ROOT/a/*", "a", False),
        ("ROOT/a/*", "a/b", True),
        ("ROOT/a/*", "a/b/c", False),
        ("ROOT/a/**", "a", True),
        ("ROOT/a/**", "a/b/c/file", True),
        ("ROOT/a/**", "secret", False),
        ("ROOT/a/**/file", "a/b/c/file", True),
        ("ROOT/a/**/c", "a/b", False),
        ("ROOT/*/b", "a/b", True),
        ("ROOT/{a,x}/b", "a/b", True),
        ("ROOT/{x,y}/b", "a/b", False),
        ("ROOT/[a-c]/?", "a/b", True),
        ("ROOT/[!a]/?", "a/b", False),
        ("ROOT/a.", "a", False),
        ("/**", "a/b", True),
        # Detours mean where they end.
        ("ROOT/a/**", "a/../secret", False),
        ("ROOT/a/**", "a/b/../../a/b", True),
        ("ROOT/a/**", "secret/../a", True),
        ("ROOT/a*", "a/../secret/key", False),
    ],
)
async def test_the_allow_list_is_a_glob_over_the_real_path(
    root: Path, entry: str, path: str, allowed: bool
) -> None:
    bid, outcome = await ask(make(root, entry), source(f"{root}/{path}"), root)
    assert bid.accepted is allowed
    if allowed:
        assert outcome == InputMount((root / path).resolve(), "/inputs", read_only=True)
    else:
        assert isinstance(outcome, ConfigurationError)
        assert "not allowlisted" in outcome.message
        real = (root / path).resolve()
        assert outcome.hint == f"the node's owner can add it: -c Compute.AllowListedLocalPaths={real}:ro"
        assert outcome.hint in bid.reason
        assert bid.reason.startswith("this node ")


@pytest.mark.parametrize(
    ("entry", "writable", "granted"),
    [
        ("ROOT/a", False, True),
        ("ROOT/a:ro", False, True),
        ("ROOT/a:rw", False, True),
        ("ROOT/a:RW", True, True),
        ("ROOT/a:rw", "true", True),
        ("ROOT/a:rw", "False", True),
        ("ROOT/a", True, False),
        ("ROOT/a:ro", "true", False),
    ],
)
async def test_writing_needs_an_entry_that_allows_it(
    root: Path, entry: str, writable: object, granted: bool
) -> None:
    bid, outcome = await ask(make(root, entry), source(str(root / "a"), ReadWrite=writable), root)
    assert bid.accepted is granted
    if granted:
        assert outcome.read_only is (str(writable).lower() != "true")
    else:
        assert "the volume is not granted write access" in outcome.message
        assert outcome.hint.endswith(f"Compute.AllowListedLocalPaths={root}/a:rw")


async def test_any_matching_entry_may_grant_writing(root: Path) -> None:
    local = make(root, "ROOT/**:ro", "ROOT/a/b:rw")
    _, mount = await ask(local, source(str(root / "a/b"), readwrite=True), root)
    assert mount == InputMount(root / "a/b", "/inputs", read_only=False)


async def test_links_are_followed_before_the_list_is_read_on_both_sides(root: Path) -> None:
    (root / "a/way-out").symlink_to(root / "secret")
    (root / "a/inside").symlink_to(root / "a/b")
    (root / "linked").symlink_to(root / "a")
    local = make(root, "ROOT/linked/**")
    _, refused = await ask(local, source(f"{root}/a/way-out/key"), root)
    assert "not allowlisted" in refused.message
    _, mount = await ask(local, source(f"{root}/linked/inside/c"), root)
    assert mount.path == root / "a/b/c"


@pytest.mark.parametrize("target", ["secret/key", "repo/key", "nowhere"])
async def test_a_refusal_does_not_reveal_the_target_of_a_link(root: Path, target: str) -> None:
    (root / "link").symlink_to(root / target)
    bid, refused = await ask(make(root, "ROOT/a"), source(f"{root}/link"), root)
    assert isinstance(refused, ConfigurationError)
    for said in (bid.reason, refused.message, refused.hint):
        assert target not in said


async def test_a_path_that_becomes_a_link_after_the_bid_leads_nowhere_else(root: Path) -> None:
    local, spec = make(root, "ROOT/a/*"), source(f"{root}/a/b")
    assert (await local.bid(Execution(), spec)).accepted
    (root / "a/b").rename(root / "a/old")
    (root / "a/b").symlink_to(root / "secret")
    with pytest.raises(ConfigurationError, match="not allowlisted"):
        await local.fetch(FetchRequest(Execution(), spec, root))


@pytest.mark.parametrize("path", ["repo", "repo/key", "repo/compute/x", ".", "a/../repo", "detour/key", "/"])
async def test_the_nodes_own_files_and_what_holds_them_are_never_shown(root: Path, path: str) -> None:
    (root / "detour").symlink_to(root / "repo")
    bid, outcome = await ask(make(root, "/**:rw", "/"), source(str(root / path)), root)
    assert not bid.accepted
    assert isinstance(outcome, ConfigurationError)
    assert "never shows" in outcome.message


async def test_missing_paths_are_created_only_when_asked_for_writably(root: Path) -> None:
    local = make(root, "ROOT/a/**:rw")
    _, mount = await ask(local, source(f"{root}/a/new/dir", ReadWrite=True, CreateAs="DIR"), root)
    assert mount == InputMount(root / "a/new/dir", "/inputs", read_only=False)
    assert (root / "a/new/dir").stat().st_mode & 0o777 == 0o700
    _, mount = await ask(local, source(f"{root}/a/new/f/file", ReadWrite=True, CreateAs="file"), root)
    assert mount.path.read_bytes() == b""
    # Whatever exists stays as it is.
    _, mount = await ask(local, source(f"{root}/a/b/c/file", ReadWrite=True, CreateAs="file"), root)
    assert mount.path.read_text() == "data"
    for params in ({"ReadWrite": True}, {"CreateAs": "dir"}, {"ReadWrite": True, "CreateAs": "noCreate"}):
        bid, outcome = await ask(local, source(f"{root}/a/none", **params), root)
        assert not bid.accepted
        assert isinstance(outcome, IOFailure)
        assert "does not exist and creation is not allowed" in outcome.message
    assert names(root / "a") == ["b", "new"]


async def test_nothing_is_created_outside_the_list(root: Path) -> None:
    spec = source(f"{root}/a/../x/y", ReadWrite=True, CreateAs="dir")
    bid, outcome = await ask(make(root, "ROOT/a/**:rw"), spec, root)
    assert not bid.accepted
    assert "not allowlisted" in outcome.message
    assert names(root) == ["a", "repo", "secret"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (source(None), "needs a SourcePath"),
        (source("relative/path"), "absolute SourcePath"),
        (source("/a\0b"), "absolute SourcePath"),
        (source("/a", CreateAs="link"), "does not know CreateAs 'link'"),
        (source("/a/", CreateAs="file", ReadWrite=True), "ends with a slash"),
        (source("/a", ReadWrite="perhaps"), "true or false"),
    ],
)
async def test_wrong_parameters_are_reported_by_name(root: Path, spec: InputSource, words: str) -> None:
    bid, outcome = await ask(make(root, "/**"), spec, root)
    assert not bid.accepted
    assert bid.reason.startswith("this node ")
    assert words in bid.reason
    assert words in outcome.message


async def test_a_loop_of_links_is_reported(root: Path) -> None:
    (root / "a/loop").symlink_to("loop")
    bid, outcome = await ask(make(root, "ROOT/a/**"), source(f"{root}/a/loop/x"), root)
    assert not bid.accepted
    assert isinstance(outcome, BacalhauError)


async def test_an_unreadable_path_is_reported() -> None:
    """As a user who may not read it: root may read everything."""
    if not is_root():
        pytest.skip("becoming a user who may not read needs root")
    code = (
        "import asyncio, os, sys, tempfile\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from tests.sources.test_local import make, source, Execution\n"
        "place = Path(tempfile.mkdtemp()).resolve()\n"
        "(place / 'closed').mkdir(mode=0)\n"
        "(place / 'ro').mkdir(mode=0o555)\n"
        "place.chmod(0o755)\n"
        "local = make(place, 'ROOT/**:rw')\n"
        # Python itself may be out of reach afterwards: everything is loaded before.
        "asyncio.run(local.bid(Execution(), source(str(place))))\n"
        "os.setuid(65534)\n"
        "print(asyncio.run(local.bid(Execution(), source(f'{place}/closed'))).reason)\n"
        "print(asyncio.run(local.bid(Execution(), source(f'{place}/closed/x'))).reason)\n"
        "print(asyncio.run(local.bid(Execution(), source(f'{place}/ro', ReadWrite=True))).reason)\n"
        "print(place)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, Path.cwd()], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    closed, below, read_only, place = done.stdout.splitlines()
    assert closed == f"this node may not read {place}/closed: permission denied"
    assert below.startswith("this node ")
    assert read_only == f"this node may not write to {place}/ro: permission denied"


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        (("relative/**",), "the entry 'relative/**' is not an absolute path"),
        (("/a/../b",), "has a `..` in it"),
        (("/a/{b",), "is a broken glob"),
    ],
)
async def test_a_list_that_cannot_be_used_makes_the_source_unavailable_with_a_reason(
    root: Path, entries: tuple[str, ...], problem: str
) -> None:
    probe = await make(root, *entries).probe()
    assert not probe.available
    assert problem in probe.problem


async def test_an_empty_list_refuses_with_the_entry_that_is_missing(root: Path) -> None:
    local = make(root)
    assert (await local.probe()).available
    answer = await local.bid(Execution(), InputSource(source=source(f"{root}/a").source, target="/inputs"))
    assert not answer.accepted
    assert f"{root}/a" in answer.reason
    assert "Compute.AllowListedLocalPaths" in answer.reason


async def test_the_source_answers_to_both_of_its_names_and_needs_no_disk(root: Path) -> None:
    local = make(root, "ROOT/a:ro")
    assert (await local.probe()).available
    assert local.types == ("localdirectory", "local")
    assert await local.size(Execution(), source(f"{root}/a")) == 0
