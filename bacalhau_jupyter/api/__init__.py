"""Bacalhau's HTTP API: thin handlers over the orchestrator service."""
