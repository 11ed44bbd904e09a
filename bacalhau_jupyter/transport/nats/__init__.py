"""The link between the nodes of a cluster: Bacalhau's own protocol (NCL) over a NATS server."""

COMPONENT = "NATS"
"""Named in the errors of this room (`models.errors`)."""
