"""Experiments: choose a preset and a base, launch the grid, watch its table and plots fill."""

from pages.components.workbench import workbench

workbench("experiment")
