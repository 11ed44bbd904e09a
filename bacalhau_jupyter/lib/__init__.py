"""Small helpers without any dependency of ours: clocks, ids, times, retry delays."""
