"""What a job displays, on the notebook's side: read from its output, reduced to what is harmless, shown."""
