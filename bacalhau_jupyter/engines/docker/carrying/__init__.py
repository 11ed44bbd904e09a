"""Images that only the Docker Engine of this machine has, copied to one elsewhere."""
