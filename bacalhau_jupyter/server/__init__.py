"""The jupyter-server extension: gateway and node supervision."""

COMPONENT = "Gateway"
"""Named in the errors of this room (`models.errors`)."""
