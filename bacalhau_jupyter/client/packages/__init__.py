"""``--pip``: Python packages for a job, resolved here for the Python that the job runs with."""
