"""Sources: where inputs come from; one module per type, found through entry points."""
