"""Blocking work in threads, as the tasks of an event loop wait for it."""
