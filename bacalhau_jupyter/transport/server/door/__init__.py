"""Who may connect to our NATS server, and to what: the server asks about each connection, we answer."""
