"""Uploads: content that clients send ahead of their jobs, kept by its hash, and the signed links to it."""

COMPONENT = "Uploads"
