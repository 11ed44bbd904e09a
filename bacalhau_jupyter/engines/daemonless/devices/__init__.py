"""GPUs for jobs in images: what a CDI specification of the node's machine says, done without a container runtime."""
