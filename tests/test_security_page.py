"""docs/security.md names tests that exist."""

from __future__ import annotations

import re

from tests.services.node import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`([\w/]*test_\w+\.py)`", PAGE)
    places = (ROOT / "tests", ROOT / "tests" / "engines" / "process")
    missing = [name for name in named if not any((place / name).is_file() for place in places)]
    assert len(named) > 40
    assert missing == []
