"""What befalls a cluster, and when: a plan that a seed decides, as plain data."""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator
from dataclasses import dataclass

STATIONS = 3
"""Compute nodes of the cluster."""
BRIEF_S = (0.2, 4.0)
LONG_S = (9.0, 14.0)
"""How long a blow lasts. A long one lasts longer than the time-out after which a silent node is given up."""
LONG_SHARE = 0.2
GAP_S = (0.3, 3.0)
"""Rest between blows."""
PAIR_SHARE = 0.3
"""How often two things are hit at once."""


class Kind(enum.Enum):
    """What is done to a victim at the start of a blow, and undone at its end."""

    KILL = "killed, then started again"
    PAUSE = "stopped, then continued"
    RESTART = "ended politely, then started again"
    CUT = "cut, then restored"
    HOLD = "held, then let flow"


ORCHESTRATOR, SERVER = "orchestrator", "nats-server"
LINK = "link "
STATION = "node "

KINDS = {
    ORCHESTRATOR: (Kind.KILL, Kind.PAUSE, Kind.RESTART),
    # Its supervisor starts it again by itself.
    SERVER: (Kind.KILL, Kind.PAUSE),
    **{f"{STATION}{number}": (Kind.KILL, Kind.PAUSE, Kind.RESTART) for number in range(STATIONS)},
    **{f"{LINK}{number}": (Kind.CUT, Kind.HOLD) for number in range(STATIONS)},
}


@dataclass(frozen=True)
class Blow:
    """One victim, what happens to it, and for how long (seconds)."""

    victim: str
    kind: Kind
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.victim} {self.kind.value} after {self.lasts_s:.1f} s"


@dataclass(frozen=True)
class Step:
    """Blows that fall together after a rest (seconds)."""

    rest_s: float
    blows: tuple[Blow, ...]

    @property
    def lasts_s(self) -> float:
        """How long it takes, with its rest."""
        return self.rest_s + max(blow.lasts_s for blow in self.blows)


def steps(seed: int, total_s: float) -> list[Step]:
    """Return what befalls the cluster in so many seconds; the same for the same seed.

    Each kind of blow falls once before any falls twice.
    """
    chance = random.Random(seed)
    plan: list[Step] = []
    deck = _decks(chance)
    passed_s = 0.0
    while passed_s < total_s:
        blows = [_blow(chance, *next(deck))]
        if chance.random() < PAIR_SHARE:
            second = _blow(chance, *next(deck))
            if second.victim != blows[0].victim:
                blows.append(second)
        plan.append(Step(round(chance.uniform(*GAP_S), 2), tuple(blows)))
        passed_s += plan[-1].lasts_s
    return plan


def _decks(chance: random.Random) -> Iterator[tuple[str, Kind]]:
    while True:
        deck = [(victim, kind) for victim, kinds in KINDS.items() for kind in kinds]
        chance.shuffle(deck)
        yield from deck


def _blow(chance: random.Random, victim: str, kind: Kind) -> Blow:
    span = LONG_S if chance.random() < LONG_SHARE else BRIEF_S
    return Blow(victim, kind, round(chance.uniform(*span), 2))
