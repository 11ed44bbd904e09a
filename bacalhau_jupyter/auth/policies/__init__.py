"""Policies in Rego: who may log in, and what each request may do."""

COMPONENT = "Policy"
