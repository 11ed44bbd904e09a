"""A container's output, copied whole and once."""
