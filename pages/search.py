"""Search the knobs of an attack: choose what is attacked and judged, watch the trials, take the best knobs on."""

from pages.components.workbench import workbench

workbench("search")
