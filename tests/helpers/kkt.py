"""Knobs of a KKT attack that takes seconds."""

FAST = {"method": "kkt", "device": "cpu", "restarts": 2, "iterations": 400, "relu_alpha_start": 5.0,
        "relu_alpha_end": 50.0, "record_every": 100}
