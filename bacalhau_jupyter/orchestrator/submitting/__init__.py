"""What users do to jobs: the rules, and the requests that keep them."""
