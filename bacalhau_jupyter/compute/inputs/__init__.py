"""Bringing inputs, once for all executions that want the same."""
