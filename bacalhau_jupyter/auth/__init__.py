"""Who may call the node."""
