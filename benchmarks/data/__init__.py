"""Data into jobs and out of them: buckets, IPFS, results, frames."""
