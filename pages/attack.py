"""Attack a published adapter: form, images as they form, score."""

from pages.components.workbench import workbench

workbench("attack")
