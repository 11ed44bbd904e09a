"""Docker hosts elsewhere: their file, their links, and the compute half of each."""
