"""What is kept: layers, trees and who holds them, on the disk and by content."""

COMPONENT = "Images"
"""Named in the errors of this room (`models.errors`)."""
