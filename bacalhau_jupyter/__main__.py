"""``python -m bacalhau_jupyter``: the same as ``bacalhau-jupyter``."""

from __future__ import annotations

from bacalhau_jupyter.cli.main import main

if __name__ == "__main__":
    main()
