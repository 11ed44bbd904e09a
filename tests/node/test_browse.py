from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import BadRequest, Forbidden, NotFound
from bacalhau_jupyter.node.browse import DataPlaces, LocalPaths


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name in ("a/public/x.csv", "a/private/y.csv", "b/public/ü ?.csv", "top.txt", "repo/key"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / "out").symlink_to("/etc")
    return root


def browser(shared: Path, *entries: str) -> LocalPaths:
    return LocalPaths(lambda: list(entries), [shared / "repo"])


async def names(paths: LocalPaths, uri: str) -> list[str]:
    return [entry.name for entry in (await paths.look(uri, 100, "")).entries]


async def test_the_shared_roots_come_first_and_hidden_paths_never(shared: Path) -> None:
    paths = browser(shared, f"{shared}/**:rw")
    roots = (await paths.look("file://", 100, "")).entries
    assert [(entry.name, entry.kind, entry.writable) for entry in roots] == [(str(shared), "directory", True)]
    # Neither the node's own files nor a link to a place that is not shared.
    assert await names(paths, roots[0].uri) == ["a", "b", "top.txt"]


async def test_a_glob_shows_only_what_leads_to_what_it_means(shared: Path) -> None:
    paths = browser(shared, f"{shared}/*/public")
    assert await names(paths, "file://") == [str(shared)]
    assert await names(paths, f"file://{shared}") == ["a", "b"]
    assert await names(paths, f"file://{shared}/a") == ["public"]
    assert await names(paths, f"file://{shared}/a/public") == ["x.csv"]
    with pytest.raises(Forbidden, match="does not share"):
        await paths.look(f"file://{shared}/a/private", 100, "")


@pytest.mark.parametrize(
    "uri", ["file:///", "file:///etc", "file://{}/../..", "file://{}/out", "file://{}/repo"]
)
async def test_what_is_not_shared_is_refused_and_not_described(shared: Path, uri: str) -> None:
    with pytest.raises(Forbidden):
        await browser(shared, f"{shared}/**").look(uri.format(shared), 100, "")


async def test_the_uri_of_an_entry_leads_back_to_it_whatever_its_name(shared: Path) -> None:
    paths = browser(shared, f"{shared}/**")
    (entry,) = (await paths.look(f"file://{shared}/b/public", 100, "")).entries
    assert (entry.name, entry.size) == ("ü ?.csv", len("b/public/ü ?.csv".encode()))
    with pytest.raises(BadRequest, match="is a file"):
        await paths.look(entry.uri, 100, "")
    with pytest.raises(NotFound):
        await paths.look(f"file://{shared}/nothing", 100, "")


async def test_pages_hold_every_entry_once(shared: Path) -> None:
    for number in range(25):
        (shared / "a" / f"{number:02}.txt").touch()
    paths, seen, token = browser(shared, f"{shared}/**"), [], ""
    while True:
        page = await paths.look(f"file://{shared}/a", 10, token)
        seen += [entry.name for entry in page.entries]
        token = page.next_token
        if not token:
            break
    assert seen == ["private", "public", *(f"{number:02}.txt" for number in range(25))]
    with pytest.raises(BadRequest, match="token"):
        await paths.look(f"file://{shared}/a", 10, "-1")


async def test_the_places_are_named_and_others_are_refused_by_name(shared: Path) -> None:
    places = DataPlaces(browser(shared, f"{shared}/**"))
    roots = (await places.list("", 10, "")).entries
    assert [(entry.name, entry.uri) for entry in roots] == [("Local paths", "file://")]
    with pytest.raises(BadRequest, match="no data at s3://x"):
        await places.list("s3://x", 10, "")
    nothing = DataPlaces(browser(shared))
    assert (await nothing.list("", 10, "")).entries == []
