"""The command grammar: verbs, flags and what they return. Shell and notebook are its two front ends."""

from __future__ import annotations

from bacalhau_jupyter.cli.grammar.verbs import Group, bacalhau, read_spec, spec_of, submit

__all__ = ["Group", "bacalhau", "read_spec", "spec_of", "submit"]
