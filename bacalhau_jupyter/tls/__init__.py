"""HTTPS on the node's own ports: certificates, their renewal, and what answers before a request can be read."""

COMPONENT = "TLS"
"""Named in the errors of this room (`models.errors`)."""
