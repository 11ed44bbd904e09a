"""Packages for jobs: resolved here, kept by the node of this machine or sent along; jobs that help with it."""
