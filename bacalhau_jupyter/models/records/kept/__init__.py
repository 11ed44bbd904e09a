"""What a node keeps for jobs to come."""
