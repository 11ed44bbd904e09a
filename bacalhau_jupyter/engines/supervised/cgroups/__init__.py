"""Control groups for executions, where the node was given a part of the cgroup v2 tree."""
