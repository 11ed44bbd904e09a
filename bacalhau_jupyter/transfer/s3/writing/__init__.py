"""Objects written, as streams and as directories."""
