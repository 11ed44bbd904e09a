"""The link to the orchestrator, and what survives a crash."""
