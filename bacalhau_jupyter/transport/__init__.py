"""How orchestrator and compute talk: the message contract and its carriers."""

COMPONENT = "Transport"
"""Named in the errors of this room (`models.errors`)."""
