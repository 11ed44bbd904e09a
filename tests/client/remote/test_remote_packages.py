"""``@remote(pip=[…])``: packages that only the job has."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.client.remote.function import remote
from tests.client.jobs.test_packages import index, of_own
from tests.packages.wheels import Index
from tests.services.node_fixtures import NodeFactory

__all__ = ["index"]

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


def test_a_function_imports_what_its_decorator_asks_for(node_factory: NodeFactory, index: Index) -> None:
    space: dict = {"__name__": "__main__"}
    exec("def f():\n    import good\n    return good.__name__", space)
    with of_own(node_factory()) as client:
        assert remote(client=client, pip=["good"])(space["f"])() == "good"
