"""Clients of any Bacalhau API: jobs, events, logs, nodes, results. Heavy imports happen on first use."""
