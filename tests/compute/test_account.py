"""Two compute nodes that offer the same machine to different orchestrators."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.compute.host.account import Account
from bacalhau_jupyter.compute.host.capacity import Capacity
from bacalhau_jupyter.models.jobs.resources import GPU, Resources

GPUS = [GPU(index=index, name="card", pci_address=f"0000:0{index}:00.0") for index in range(2)]
MACHINE = Resources(cpu=4, memory=8_000, disk=8_000, gpu=2, gpus=GPUS)


def halves() -> tuple[Capacity, Capacity]:
    account = Account()
    return Capacity(MACHINE, account=account), Capacity(MACHINE, account=account)


def test_what_one_node_gave_away_the_other_does_not_give_again() -> None:
    own, joined = halves()
    held = own.reserve("e-1", Resources(cpu=3, memory=1, gpu=1))
    assert held is not None
    assert joined.reserve("e-2", Resources(cpu=2)) is None
    other = joined.reserve("e-3", Resources(cpu=1, memory=1, gpu=1))
    assert other is not None
    assert {gpu.key for gpu in held.gpus}.isdisjoint(gpu.key for gpu in other.gpus)
    assert set(own.holders) == {"e-1"}
    assert set(joined.holders) == {"e-3"}


def test_a_node_tells_its_orchestrator_what_the_other_one_took_and_gave_back() -> None:
    own, joined = halves()
    changes: list[float] = []
    joined.changed_elsewhere = lambda: changes.append(joined.available.cpu)
    own.reserve("e-1", Resources(cpu=3))
    own.release("e-1")
    joined.reserve("e-2", Resources(cpu=1))
    assert changes == [1, 4]


async def test_a_bid_waits_for_what_the_other_node_is_stopping() -> None:
    own, joined = halves()
    own.reserve("e-1", Resources(cpu=4))
    own.leaving("e-1")
    bid = asyncio.create_task(joined.reserve_soon("e-2", Resources(cpu=4)))
    await asyncio.sleep(0)
    assert not bid.done()
    own.release("e-1")
    assert await bid is not None


def test_a_node_that_goes_away_leaves_everything_to_the_other() -> None:
    own, joined = halves()
    joined.reserve("e-1", Resources(cpu=4))
    joined.close()
    assert own.available == MACHINE


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 4), st.integers(0, 2), st.booleans()),
        max_size=40,
    )
)
def test_both_together_never_give_more_than_there_is(
    steps: list[tuple[bool, int, int, int, bool]],
) -> None:
    own, joined = halves()
    for is_own, number, cpu, gpu, gives_back in steps:
        half, name = (own if is_own else joined), f"e-{is_own}-{number}"
        if gives_back:
            half.release(name)
        else:
            half.reserve(name, Resources(cpu=cpu, gpu=gpu))
        assert own.available == joined.available
        assert own.available.cpu >= 0
        assert len(own.available.gpus) == own.available.gpu
