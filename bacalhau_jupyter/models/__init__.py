"""The wire: Bacalhau's own types, pure and without I/O."""
