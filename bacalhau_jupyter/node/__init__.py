"""A node: its roles wired together from one configuration."""
