"""Flags shared by several verbs, and the kinds of values that they take."""
