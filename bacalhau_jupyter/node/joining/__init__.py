"""Compute halves that take jobs from an orchestrator elsewhere."""
