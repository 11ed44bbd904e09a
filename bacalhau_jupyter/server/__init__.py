"""The jupyter-server extension: gateway and node supervision."""
