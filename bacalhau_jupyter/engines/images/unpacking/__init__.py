"""Layers to directories: all that a stranger's bytes may do happens in a process of its own (`worker`)."""

COMPONENT = "Images"
"""Named in the errors of this room (`models.errors`)."""
