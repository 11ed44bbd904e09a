"""What runs in the supervisor of one execution; only cheap modules of the standard library."""
