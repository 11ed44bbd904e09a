"""Requests to S3 servers: places, credentials, signatures, connections, and what goes wrong."""
