"""The stand-alone web page: its listener, and who is logged in on it."""
