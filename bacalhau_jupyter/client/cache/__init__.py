"""``--cache``: a finished job that is the same as a new one answers in its place."""
