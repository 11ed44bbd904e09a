"""Measurements, each beside the raw thing: ``python -m benchmarks``."""
