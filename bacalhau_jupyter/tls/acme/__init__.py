"""Certificates from an ACME server (RFC 8555): ordered, kept, renewed."""

COMPONENT = "AutoCert"
"""Named in the errors of this room (`models.errors`)."""
