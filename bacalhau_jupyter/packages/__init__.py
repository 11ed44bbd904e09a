"""Sets of Python packages that this node's own user resolved for jobs: each kept once, by its hash."""
