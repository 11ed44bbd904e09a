"""Bytes over HTTP: downloads that resume, uploads to signed links."""
