"""Which nodes belong to the cluster: how they join, what people decide about them, and who is silent for too long."""
