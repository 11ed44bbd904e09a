"""What keeps a job in: Landlock, the filter of system calls, objects that must still be the same."""
