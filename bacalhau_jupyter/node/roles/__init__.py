"""The roles of a node process: their databases, one or several compute halves, and how they stop."""
