"""Image registries, whoever pulls: names of images, and the logins that ``docker login`` left."""

COMPONENT = "Docker"
"""Named in the errors of this room (`models.errors`)."""
