"""The NATS server of an orchestrator: it starts and stops the program, and decides what each client may do."""

COMPONENT = "NATSServer"
"""Named in the errors of this room (`models.errors`)."""
