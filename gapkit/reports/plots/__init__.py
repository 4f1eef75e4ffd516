"""Figures of results, readable for the colour-blind and when printed grey; None where there is nothing to show."""

from gapkit.reports.plots.classes import plot_classes
from gapkit.reports.plots.decomposition import plot_decomposition
from gapkit.reports.plots.label_map import plot_label_map
from gapkit.reports.plots.layers import plot_layers
from gapkit.reports.plots.matches import plot_matches
from gapkit.reports.plots.misalignment import plot_misalignment
from gapkit.reports.plots.pictures import picture_grid
from gapkit.reports.plots.style import figure_bytes

__all__ = [
    "figure_bytes",
    "picture_grid",
    "plot_classes",
    "plot_decomposition",
    "plot_label_map",
    "plot_layers",
    "plot_matches",
    "plot_misalignment",
]
