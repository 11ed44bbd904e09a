"""Calls to one part of a node each, through a connection; only nodes that list the feature have these routes."""
