"""Executions at work: events are applied, what they change is stored, and what the state machine instructs is done."""
