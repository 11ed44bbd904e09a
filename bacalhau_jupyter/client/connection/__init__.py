"""The way to a cluster's API: the node is found or started, requests and streams are made on one thread."""
