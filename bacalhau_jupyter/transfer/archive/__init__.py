"""Archives: packed and unpacked in blocks, and read in place by their index."""

COMPONENT = "Archive"
"""Named in the errors of this room (`models.errors`)."""
