"""What the verdicts on several nodes say together: how many fail for which reason, and what would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bacalhau_jupyter.models.records.explanation import NodeVerdict, Remedy, RemedyKind, Verdict
from bacalhau_jupyter.orchestrator.explaining.words import GPU, listed
from bacalhau_jupyter.orchestrator.scheduler.naming import UnknownNode

REMEDIES = 4
"""Remedies that are shown together; each node has its own."""

_PLURAL_VERBS = {"is": "are", "lacks": "lack", "does": "do", "was": "were"}


def counted_reasons(verdicts: Sequence[NodeVerdict]) -> str:
    """Say how many nodes fail for which reason: ``2 lack GPU and 1 is too small (CPU)``."""
    counts = Counter(map(_short_reason, verdicts))
    reasons = [f"{count} {words if count == 1 else _plural(words)}" for words, count in counts.most_common()]
    return listed(reasons, most=4)


def chosen_remedies(verdicts: Sequence[NodeVerdict], unknown: UnknownNode | None = None) -> list[Remedy]:
    """Choose from the nodes' remedies, each once; a job that is about to run needs none.

    Where the job names a node that nobody knows, the right name is the only one.
    """
    if unknown is not None:
        return [Remedy(kind=RemedyKind.CONSTRAINT, text=unknown.hint)]
    if not verdicts:
        text = "start a compute node, for instance bacalhau-jupyter serve --compute"
        return [Remedy(kind=RemedyKind.NODE, text=text)]
    if verdicts[0].verdict is Verdict.ABLE:
        return []
    by_text: dict[str, Remedy] = {}
    for verdict in verdicts:
        for remedy in verdict.remedies:
            by_text.setdefault(remedy.text, remedy)
    return list(by_text.values())[:REMEDIES]


def _short_reason(verdict: NodeVerdict) -> str:
    lacking = [item.resource for item in verdict.shortages]
    if lacking == [GPU] and not verdict.shortages[0].total:
        return "lacks GPU"
    return f"is too small ({', '.join(lacking)})" if lacking else verdict.reason


def _plural(words: str) -> str:
    """Turn what one node does into what several do: ``lacks GPU`` into ``lack GPU``."""
    verb, _, rest = words.partition(" ")
    return f"{_PLURAL_VERBS.get(verb, verb)} {rest}"
