"""What programs that a kernel starts inherit after a switch."""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.config.choice.children import Children
from bacalhau_jupyter.config.election import NodeLock
from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.config.repo import NODE_MARKER, Repo


def test_the_address_goes_with_a_switch_and_comes_back_with_the_own_node(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    marked = {"BACALHAU_API_HOST": "127.0.0.1", "BACALHAU_API_PORT": "1", NODE_MARKER: str(tmp_path)}
    environ = dict(marked)
    children = Children(environ)
    store = ProfileStore(repo.profiles_dir)
    store.save("other", Profile(endpoint="http://other:1"))
    children.look()
    assert environ == marked
    store.select("other")
    children.look()
    assert environ == {NODE_MARKER: str(tmp_path)}
    with NodeLock.acquire(repo, "0") as node:
        node.publish("127.0.0.1", 4321)
        store.deselect()
        children.look()
    # The node may have moved meanwhile.
    assert environ["BACALHAU_API_PORT"] == "4321"


def test_without_a_jupyter_server_of_ours_nothing_is_touched(tmp_path: Path) -> None:
    environ = {"BACALHAU_DIR": str(tmp_path), "BACALHAU_API_HOST": "mine"}
    children = Children(environ)
    store = ProfileStore(tmp_path / "profiles")
    store.save("other", Profile(endpoint="http://other:1"))
    store.select("other")
    children.look()
    assert environ == {"BACALHAU_DIR": str(tmp_path), "BACALHAU_API_HOST": "mine"}
