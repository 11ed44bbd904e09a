from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.api.http.connections import ConnectionBook, ConnectionLimits

LIMITS = ConnectionLimits(proven=6, own=4, strangers=6, stranger=3, sockets=2)


def test_the_limits_leave_half_of_the_descriptors() -> None:
    for descriptors in (256, 1024, 65_536, 10**9):
        limits = ConnectionLimits.for_descriptors(descriptors)
        most = limits.proven + limits.own + limits.strangers
        assert most <= max(64, descriptors // 2)
    assert ConnectionLimits.for_descriptors(1024).own >= 100, "a kernel with a hundred connections works"


def test_a_stranger_with_too_many_connections_loses_its_own_oldest() -> None:
    book = ConnectionBook(LIMITS)
    assert [book.open(f"b{number}", "b", own=False) for number in range(2)] == [None, None]
    assert [book.open(f"a{number}", "a", own=False) for number in range(5)] == [None, None, None, "a0", "a1"]
    assert len(book) == 5


def test_strangers_together_make_the_one_with_the_most_give_way() -> None:
    book = ConnectionBook(LIMITS)
    for number in range(3):
        assert book.open(f"a{number}", "a", own=False) is None
    for caller in "bcd":
        assert book.open(caller, caller, own=False) is None
    assert book.open("e", "e", own=False) == "a0"


def test_strangers_never_make_our_own_user_give_way_nor_a_proven_connection() -> None:
    book = ConnectionBook(LIMITS)
    for number in range(4):
        assert book.open(("own", number), "uid 0", own=True) is None
    book.open("remote", "r", own=False)
    book.prove("remote")
    gone = {book.open(("x", number), f"x{number}", own=False) for number in range(50)}
    assert gone.isdisjoint({"remote", *(("own", number) for number in range(4))})
    assert book.open(("own", 5), "uid 0", own=True) == ("own", 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["open", "open", "prove", "close"]), st.integers(0, 30), st.booleans()),
        max_size=200,
    )
)
def test_the_book_is_never_over_its_limits_and_forgets_nothing(
    steps: list[tuple[str, int, bool]],
) -> None:
    book, present, serial = ConnectionBook(LIMITS), dict[int, int](), 0
    for step, number, own in steps:
        if step == "open":
            serial += 1
            gone = book.open(serial, f"caller {number % 5}", own)
            present[serial] = number
            if gone is not None:
                present.pop(gone)  # type: ignore[call-overload]
        elif present:
            chosen = list(present)[number % len(present)]
            if step == "prove":
                book.prove(chosen)
            else:
                book.close(chosen)
                del present[chosen]
        assert len(book) == len(present) <= LIMITS.proven + LIMITS.own + LIMITS.strangers
    for left in list(present):
        book.close(left)
    assert len(book) == 0
    assert not book._strangers
    assert not book._callers
