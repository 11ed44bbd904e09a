"""What all transfers share: progress, threads, the disk, links, names."""
