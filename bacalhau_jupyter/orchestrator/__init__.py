"""Orchestrator: store, evaluation broker, schedulers, planner, node membership."""
