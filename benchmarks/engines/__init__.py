"""Whole jobs per engine, and their log lines."""
