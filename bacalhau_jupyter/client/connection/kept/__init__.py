"""Calls about what a node keeps for jobs to come."""
