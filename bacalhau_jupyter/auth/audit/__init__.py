"""What is written down of who did what."""

COMPONENT = "Audit"
