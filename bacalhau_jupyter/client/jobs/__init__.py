"""Jobs: built, submitted once, watched to their end, and their results fetched."""
