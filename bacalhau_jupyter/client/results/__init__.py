"""Results: a small file system of which only what somebody looks at is fetched."""
