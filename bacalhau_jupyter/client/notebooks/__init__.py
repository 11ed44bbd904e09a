"""Notebooks as jobs: prepared, run inside the job, and the executed copy brought back."""
