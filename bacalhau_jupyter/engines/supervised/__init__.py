"""What engines share whose executions run under a supervisor of ours, and outlive the node.

The supervisor of every execution imports modules of this package, so it imports nothing here: its start must stay in
the order of ten milliseconds.
"""
