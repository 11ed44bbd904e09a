"""What the API needs from the node it belongs to: a protocol for each part of it."""
