"""The connected cluster: how it is found, kept alive and found again."""
