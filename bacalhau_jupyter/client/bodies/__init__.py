"""Python bodies of jobs: the program that runs one there, and the variables that go in and come back."""
