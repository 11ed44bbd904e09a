"""What goes into a job: the short forms of inputs, outputs and publishers, and files that travel inside."""
