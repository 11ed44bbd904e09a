"""The bundle as browsers get it."""

from __future__ import annotations

import gzip

import pytest

from tests.browser.conftest import built_labextension
from tests.labextension.support import packaging
from tests.services.fixtures import service_or_skip

MOST_BYTES = 500_000


@pytest.mark.slow
def test_the_bundle_is_small() -> None:
    service_or_skip(built_labextension)
    static = packaging("bundle").output() / "static"
    scripts = list(static.rglob("*.js"))
    assert scripts
    assert sum(len(gzip.compress(path.read_bytes())) for path in scripts) < MOST_BYTES
