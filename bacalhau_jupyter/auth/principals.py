"""In whose name a request is made, and what that allows."""

from __future__ import annotations

from dataclasses import dataclass

EVERYTHING = "*"
"""The capability that contains all others."""


@dataclass(frozen=True)
class Principal:
    """In whose name a request is made.

    Attributes
    ----------
    name
        Unique on this node; it owns uploads and stands in the audit log. Those of users have a prefix
        (``user:``, ``key:``), so that nobody can be called like the owner.
    capabilities
        Official strings such as ``read:job``, ``write:*`` or ``*``, compared exactly.
    title
        What messages call it; empty means the name.
    """

    name: str
    capabilities: frozenset[str] = frozenset()
    title: str = ""

    @property
    def called(self) -> str:
        """What messages call it."""
        return self.title or self.name

    def may(self, capability: str) -> bool:
        """Whether a capability such as ``write:job`` is granted."""
        verb, _, _ = capability.partition(":")
        return not self.capabilities.isdisjoint((EVERYTHING, f"{verb}:{EVERYTHING}", capability))

    def may_see_jobs(self, namespace: str) -> bool:
        """Whether the jobs of a namespace may be shown, also where another job is asked for."""
        return self.may("read:job")


ANONYMOUS = Principal("anonymous", frozenset({EVERYTHING}))
"""Whoever shows no valid credential, where a policy has approved the request."""

OWNER = Principal("owner", frozenset({EVERYTHING}))
"""The OS user who runs the node, by socket or by the node's API key."""
