"""Every config key, its default and meaning, and the repo directory."""
