"""What engines, sources and publishers have in common: their contract, options, registry and log file."""
