"""Looking at jobs: when, how many at a time, and what follows."""
