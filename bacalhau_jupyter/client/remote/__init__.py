"""Functions as jobs: ``@remote``."""
