"""What this host has, and what it is asked about a job."""
