"""Archives: packed and unpacked in blocks, and read in place by their index."""
