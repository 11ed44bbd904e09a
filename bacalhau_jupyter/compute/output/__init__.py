"""Log streams of executions."""
