"""A module beside the notebooks: `displays.ipynb` imports it in a job."""


def mean(values: list[float], window: int = 3) -> list[float]:
    """Return the moving mean."""
    return [sum(values[start : start + window]) / window for start in range(len(values) - window + 1)]
