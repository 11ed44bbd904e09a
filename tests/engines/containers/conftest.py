"""The images of the runtime without a daemon."""

from __future__ import annotations

from tests.engines.daemonless.conftest import busybox_tree as busybox_tree
from tests.engines.daemonless.conftest import store as store
