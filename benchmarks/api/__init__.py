"""The API and the node behind it: requests, callers, memory, and the yardstick beside them."""
