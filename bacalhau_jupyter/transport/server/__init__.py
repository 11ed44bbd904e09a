"""The NATS server that an orchestrator brings: a program beside the node, and who may do what on it."""

COMPONENT = "NATSServer"
"""Named in the errors of this room (`models.errors`)."""
