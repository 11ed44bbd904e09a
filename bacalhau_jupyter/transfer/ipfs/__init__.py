"""IPFS nodes: content in and out, results, private swarms."""
