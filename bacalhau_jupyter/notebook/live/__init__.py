"""How a cell shows a job while it runs: its card, its output, and what an interrupt does."""
