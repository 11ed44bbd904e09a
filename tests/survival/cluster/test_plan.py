from __future__ import annotations

from tests.survival.cluster.plan import KINDS, steps


def test_a_seed_decides_the_plan() -> None:
    assert steps(7, 600) == steps(7, 600)
    assert steps(7, 600) != steps(8, 600)


def test_every_kind_of_blow_falls_within_ten_minutes() -> None:
    fallen = {(blow.victim, blow.kind) for step in steps(7, 600) for blow in step.blows}
    assert fallen == {(victim, kind) for victim, kinds in KINDS.items() for kind in kinds}


def test_a_plan_lasts_as_long_as_it_should() -> None:
    for seed in range(20):
        plan = steps(seed, 60)
        assert sum(step.lasts_s for step in plan[:-1]) < 60 <= sum(step.lasts_s for step in plan)
