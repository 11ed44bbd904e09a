"""Nodes as they come: official ones, far ones, late ones, and those whose messages are not what they should be."""
