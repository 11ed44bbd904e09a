"""Async byte streams: progress, resume, checksums, safe unpacking."""
