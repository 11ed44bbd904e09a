"""Every config key, its default and meaning, and the repo directory."""

COMPONENT = "Config"
"""Named in the errors of this room (`models.errors`)."""
