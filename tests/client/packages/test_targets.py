"""The Python that packages are for, by what an image prints about it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from bacalhau_jupyter.client.packages import targets
from bacalhau_jupyter.client.packages.targets import MARK, PROBE, of_executable, of_image
from bacalhau_jupyter.models.errors import BadRequest


def said(**facts: Any) -> str:
    usual = {
        "version": "3.12.4",
        "kind": "CPython",
        "machine": "x86_64",
        "system": "Linux",
        "libc": "glibc 2.36",
        "free_threaded": False,
    }
    return f"some banner\n{MARK}{json.dumps(usual | facts)}\n"


@pytest.mark.parametrize(
    ("facts", "platform"),
    [
        ({}, "x86_64-manylinux_2_36"),
        ({"machine": "aarch64"}, "aarch64-manylinux_2_36"),
        ({"libc": "glibc 2.30"}, "x86_64-manylinux_2_28"),
        ({"libc": "glibc 2.99"}, "x86_64-manylinux_2_40"),
        ({"libc": "musl"}, "x86_64-unknown-linux-musl"),
    ],
)
def test_the_platform_is_the_newest_that_the_image_runs(facts: dict[str, str], platform: str) -> None:
    target = of_image(said(**facts), "image")
    assert (target.version, target.platform) == ("3.12.4", platform)


@pytest.mark.parametrize(
    "facts",
    [
        {"kind": "PyPy"},
        {"free_threaded": True},
        {"machine": "s390x"},
        {"libc": "glibc 2.5"},
        {"libc": "?"},
        {"version": "3; rm -rf /"},
        {"version": "--help"},
        {"machine": "x86_64\n"},
    ],
)
def test_another_python_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="image"):
        of_image(said(**facts), "image")


@pytest.mark.parametrize(
    "output",
    ["", "hello", f"{MARK}[1]", f"{MARK}{{", f"{MARK}null", pytest.param(MARK + "[" * 100_000, id="deep")],
)
def test_an_image_that_says_nothing_sensible_is_refused(output: str) -> None:
    with pytest.raises(BadRequest, match="does not report its Python"):
        of_image(output, "image")


def test_this_python_describes_itself_as_it_describes_another_one() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert of_image(done.stdout, "image").words == targets.own().words


def test_what_is_no_python_is_refused() -> None:
    for program in ("/bin/true", "/nothing/there"):
        with pytest.raises(BadRequest, match="Python"):
            of_executable(program)
