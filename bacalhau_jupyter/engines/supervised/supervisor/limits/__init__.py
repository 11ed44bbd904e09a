"""What limits a job as a whole: its control group, and the disk that it takes."""
