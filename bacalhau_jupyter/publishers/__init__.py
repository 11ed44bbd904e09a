"""Publishers: where results go; one module per type, found through entry points."""
