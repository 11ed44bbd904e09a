"""What was brought is looked at once, and only what it is itself counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.compute.execution.record import StoredInput
from bacalhau_jupyter.compute.inputs.fetching import _looked_at
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.plugins.contract import InputMount


def test_an_input_says_which_object_it_is_also_after_it_was_stored(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    mount = _looked_at(InputMount(content, "/inputs"), tmp_path)
    assert mount.checked == (content.stat().st_dev, content.stat().st_ino)
    again = StoredInput.of(mount).mount()
    assert (again, again.checked, again.jobs_write) == (mount, mount.checked, False)


@pytest.mark.parametrize("link", ["content", "way/content"])
def test_a_link_among_what_was_brought_is_not_followed(tmp_path: Path, link: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/content").mkdir()
    directory = tmp_path / "input"
    directory.mkdir()
    (directory / link.split("/")[0]).symlink_to(tmp_path / "secret")
    with pytest.raises(IOFailure, match="the input is a link, which is never followed"):
        _looked_at(InputMount(directory / link, "/inputs"), directory)


def test_the_way_to_the_node_s_own_directory_may_hold_links(tmp_path: Path) -> None:
    (tmp_path / "disk/input/content").mkdir(parents=True)
    (tmp_path / "node").symlink_to("disk")
    mount = _looked_at(InputMount(tmp_path / "node/input/content", "/inputs"), tmp_path / "node/input")
    assert mount.path == tmp_path.resolve() / "disk/input/content"
