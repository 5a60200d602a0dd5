"""Engines of Afterimage: training, attacks and metrics. Never imports Streamlit."""

__version__ = "0.1.0"
