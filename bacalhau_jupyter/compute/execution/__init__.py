"""The life of one execution: the state machine, and the shell that carries it out."""
