"""Results: a small file system that fetches only the files that are read."""
