"""The users of a configuration: who they are, and whether a password or key is theirs."""

COMPONENT = "Authentication"
"""Named in the errors of this room (`models.errors`)."""
