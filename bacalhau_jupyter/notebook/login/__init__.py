"""Logging in from a cell."""
