"""Who may call the node."""

COMPONENT = "Authentication"
"""Named in the errors of this room (`models.errors`)."""
