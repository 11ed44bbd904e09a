"""Images without a Docker Engine where people really are: in an ordinary user's shell, with Debian's own Python."""

from __future__ import annotations

import re

import pytest

from tests.engines.process import container_check
from tests.engines.process.test_places import possible_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(600)]
JOBS = "tests/engines/daemonless"
JOBS_TRIED = "not test_places and not docker and not test_links_of_an_image"
IMAGES = "tests/engines/images"
IMAGES_TRIED = "test_room or test_strangers"


@pytest.mark.parametrize(("tests", "tried", "at_least"), [(JOBS, JOBS_TRIED, 60), (IMAGES, IMAGES_TRIED, 40)])
def test_an_ordinary_user_has_images(tests: str, tried: str, at_least: int) -> None:
    done = possible_or_skip(lambda: container_check.as_user(["-k", tried], tests))
    tier = done.stdout.partition("\n")[0]
    if "tier: bubblewrap" not in tier:
        pytest.skip(f"this machine gives ordinary users no namespaces ({tier})")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    # Where the engine does not work, its tests are skipped.
    assert passed and int(passed.group(1)) >= at_least, done.stdout[-2000:]
