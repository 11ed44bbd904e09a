"""What principals may use: who waits for it, what is left of it, and which jobs could never have it."""

COMPONENT = "Quota"
