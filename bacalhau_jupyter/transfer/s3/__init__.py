"""Buckets: listings, downloads, uploads, results and signed links."""
