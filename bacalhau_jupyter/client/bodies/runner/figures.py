"""A backend of Matplotlib that shows figures in the notebook; Matplotlib imports it with pyplot."""

from __future__ import annotations

from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from .displays import display


def show(*args: Any, **options: Any) -> None:
    """Show all open figures and close them, as the inline backend does."""
    del args, options
    try:
        for manager in Gcf.get_all_fig_managers():
            display(manager.canvas.figure)
    finally:
        Gcf.destroy_all()


class FigureManager(FigureManagerBase):
    """A figure without a window."""

    @classmethod
    def pyplot_show(cls, *, block: Any = None) -> None:
        """Do what ``pyplot.show`` does."""
        del block
        show()

    def show(self) -> None:
        """Show this figure."""
        display(self.canvas.figure)


class FigureCanvas(FigureCanvasAgg):  # type: ignore[misc]
    """Draws by Agg."""

    manager_class = FigureManager
