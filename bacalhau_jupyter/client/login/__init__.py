"""Logging in to a cluster: single sign-on from a device, or the cluster's own methods."""

COMPONENT = "Login"
"""Named in the errors of this room (`models.errors`)."""
