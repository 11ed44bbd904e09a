"""What engines share whose sandbox bubblewrap builds."""
