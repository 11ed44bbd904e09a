"""What a CDI specification asks for, and what of it can't be done."""

from __future__ import annotations

from typing import Any

import pytest

from bacalhau_jupyter.engines.daemonless.devices.edits import Edits, Unusable, parse_edits
from tests.engines.daemonless.devices.specification import hook


def test_the_hooks_of_nvidia_become_links_and_folders() -> None:
    edits = parse_edits(
        {
            "env": ["A=b=c"],
            "deviceNodes": [{"path": "/dev/nvidia0", "major": 195}],
            "mounts": [{"hostPath": "/usr/lib/x", "containerPath": "/usr/lib//y", "options": ["ro"]}],
            "additionalGids": [44],
            "hooks": [
                hook("create-symlinks", "--link", "a::/b", "--link=../c::/d/e"),
                hook("chmod", "--mode", "755", "--path", "/dev/dri"),
                {
                    "path": "/bin/nvidia-ctk",
                    "args": ["nvidia-ctk", "hook", "update-ldcache", "--folder", "/lib"],
                },
            ],
        }
    )
    assert edits == Edits(
        nodes=(("/dev/nvidia0", "/dev/nvidia0"),),
        mounts=(("/usr/lib/x", "/usr/lib/y"),),
        variables=(("A", "b=c"),),
        links=(("a", "/b"), ("../c", "/d/e")),
        folders=("/lib",),
    )
    assert edits + edits == edits


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "not an object"),
        ({"env": "A=b"}, "env is not a list"),
        ({"env": ["A"]}, "'A' is not a variable"),
        ({"env": ["=b"]}, "is not a variable"),
        ({"env": ["A=\0"]}, "is not a variable"),
        ({"env": ["A=b"] * 10_001}, "env is not a list"),
        ({"deviceNodes": [7]}, "deviceNodes is not a list"),
        ({"deviceNodes": [{}]}, "path is not an absolute path: 'None'"),
        ({"deviceNodes": [{"path": "dev/x"}]}, "not an absolute path"),
        ({"mounts": [{"hostPath": "/a", "containerPath": "/../etc"}]}, "leads elsewhere"),
        ({"mounts": [{"hostPath": "/a", "containerPath": "/"}]}, "leads elsewhere"),
        ({"mounts": [{"hostPath": "/a\0", "containerPath": "/a"}]}, "not an absolute path"),
        ({"mounts": [{"hostPath": "/a", "containerPath": "/" + "a" * 5000}]}, "not an absolute path"),
        ({"hooks": [{"path": "/bin/sh", "args": ["sh", "-c", "true"]}]}, "only a container runtime can run"),
        ({"hooks": [{"path": "/bin/nvidia-ctk"}]}, "only a container runtime can run"),
        ({"hooks": [hook("new-hook")]}, "not known here .'new-hook'"),
        ({"hooks": [hook("create-symlinks", "--link", "a")]}, "not a link"),
        ({"hooks": [hook("create-symlinks", "--link", "a::b")]}, "--link is not an absolute path"),
        ({"hooks": [hook("update-ldcache", "--folder", "/a/../..")]}, "leads elsewhere"),
        ({"intelRdt": {"closID": "x"}}, "intelRdt"),
        ({"netDevices": [{"name": "x"}]}, "netDevices"),
    ],
)
def test_what_can_not_be_done_is_named(value: Any, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        parse_edits(value)
