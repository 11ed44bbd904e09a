"""From a registry to a file: what an image consists of, and its layers."""

COMPONENT = "Images"
"""Named in the errors of this room (`models.errors`)."""
