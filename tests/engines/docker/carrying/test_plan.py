"""Which layers of an image are sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.engines.docker.carrying.plan import Image, chain_ids, layer_sizes, plan_copy

LAYERS = st.lists(st.sampled_from("abcd"), max_size=6).map(tuple)


def image(*layers: str, size: int = 0) -> Image:
    return Image("sha256:1", "linux/amd64", layers, size, built=True)


@given(LAYERS, st.lists(LAYERS, max_size=5))
def test_nothing_is_left_out_that_the_other_engine_would_look_for(
    layers: tuple[str, ...], there: list[tuple[str, ...]]
) -> None:
    plan = plan_copy(image(*layers), there, [1] * len(layers))
    kept = {chain for other in there for chain in chain_ids(other)}
    for layer, chain in zip(layers, chain_ids(layers), strict=True):
        assert layer not in plan.left_out or chain in kept
    assert plan.size == sum(layer not in plan.left_out for layer in layers)


@given(LAYERS, LAYERS)
def test_what_two_images_begin_with_is_sent_once(begin: tuple[str, ...], more: tuple[str, ...]) -> None:
    plan = plan_copy(image(*begin, *more), [begin], None)
    assert plan.left_out == set(begin) - set(more)


def test_a_layer_on_top_of_others_is_another_one() -> None:
    assert plan_copy(image("b", "a"), [("a", "b")], None).left_out == frozenset()


def test_a_layer_that_stands_in_two_places_is_sent_unless_both_are_there() -> None:
    assert plan_copy(image("a", "e", "b", "e"), [("a", "e")], None).left_out == {"a"}
    assert plan_copy(image("a", "e", "b", "e"), [("a", "e", "b", "e", "c")], None).left_out == {"a", "b", "e"}


def test_everything_is_sent_where_that_is_asked_for() -> None:
    plan = plan_copy(image("a", "b", size=7), [("a", "b")], None, whole=True)
    assert (plan.left_out, plan.size, plan.is_exact) == (frozenset(), 7, True)


def test_sizes_are_told_only_where_they_can_belong_to_one_layer_each() -> None:
    steps = [{"Size": 5}, {"Size": 0}, {"Size": 3}]
    assert layer_sizes(image("a", "b"), steps) == (3, 5)
    assert layer_sizes(image("a", "b", "c"), steps) is None
    plan = plan_copy(image("a", "b", "c", size=9), [("a",)], None)
    assert (plan.size, plan.is_exact) == (9, False)
