"""Pretrain a base: form, live curves."""

from pages.components.workbench import workbench

workbench("pretrain")
