"""Bids, capacity, the execution state machine, logs and host probes."""
