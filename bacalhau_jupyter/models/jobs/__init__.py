"""What people submit: jobs with their tasks, selectors, resources and durations, and the rules for them."""
