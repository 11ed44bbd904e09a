"""What stands in ``hosts.yaml``: read, checked and changed."""
