"""The handlers of the extension, below Jupyter's base URL."""
