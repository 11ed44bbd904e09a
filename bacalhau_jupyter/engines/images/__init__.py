"""Images without a Docker Engine: fetched, checked, unpacked and kept by this node."""

COMPONENT = "Images"
"""Named in the errors of this room (`models.errors`)."""
