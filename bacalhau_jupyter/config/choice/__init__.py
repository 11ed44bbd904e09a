"""Which cluster a user has chosen, and how other programs of this machine learn of it."""
