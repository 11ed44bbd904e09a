"""Images, and the logins that bring them here."""
