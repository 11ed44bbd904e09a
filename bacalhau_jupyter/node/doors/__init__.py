"""The listening sockets of a node: where they are, how they are encrypted, and the web page behind one of them."""
