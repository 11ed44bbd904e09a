"""What lives in a kernel: magics, live display, variables in and out."""
