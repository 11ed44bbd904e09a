"""Jobs that this Jupyter server looks after: what counts as activity, and copies of notebooks."""
