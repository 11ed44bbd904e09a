"""One command grammar behind ``bacalhau-jupyter …`` in shells and ``%bacalhau …`` in notebooks."""
