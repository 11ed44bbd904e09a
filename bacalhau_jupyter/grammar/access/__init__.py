"""``connect``, ``profile …``, ``auth …`` and ``id``: which cluster, and as whom."""

from __future__ import annotations

from bacalhau_jupyter.grammar.access import authentication, connecting, identity, profiles, sign_on

__all__ = ["authentication", "connecting", "identity", "profiles", "sign_on"]
