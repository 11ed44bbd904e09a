"""Objects read: listings, downloads, and results in place."""
