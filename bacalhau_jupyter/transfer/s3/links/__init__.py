"""Signed links: to results in a bucket, and into the bucket that an orchestrator provides."""
