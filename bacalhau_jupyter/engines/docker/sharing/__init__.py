"""What several nodes that use one Docker Engine must know of each other."""
