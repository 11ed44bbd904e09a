"""Where a container finds its inputs and leaves its results."""
