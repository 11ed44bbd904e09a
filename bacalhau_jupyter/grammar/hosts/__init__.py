"""``host …``: Docker hosts elsewhere that run jobs of the connected node."""

from bacalhau_jupyter.grammar.hosts import adding, verbs

__all__ = ["adding", "verbs"]
