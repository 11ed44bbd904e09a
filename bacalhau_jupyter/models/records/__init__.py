"""What nodes and executions are and did: states, history, progress, published results."""
