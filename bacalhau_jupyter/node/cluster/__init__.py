"""The link between an orchestrator and nodes of other processes: whether it is open, how, and who opened it."""
