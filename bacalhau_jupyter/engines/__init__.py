"""Engines: one module per type, found through entry points."""
