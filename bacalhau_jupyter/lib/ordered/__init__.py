"""Work that people order: they follow how far it is, and may stop it."""
