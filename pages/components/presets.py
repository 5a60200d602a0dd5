"""Named starting points for the forms: only what differs from the defaults of the config model."""

from typing import Any

from core.studies.experiments import presets as experiments

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "pretrain": {
        "Demo": {},
        "Small and quick": {"hidden": 256, "samples_per_class": 50, "epochs": 300},
        "For KKT, 20 digits": {"optimizer": "max-margin", "samples_per_class": 10},
        "For KKT, 500 digits": {"optimizer": "max-margin", "target_log_loss": -10.0},
        "For KKT, ten classes": {"problem": "mnist-digits", "optimizer": "max-margin", "samples_per_class": 2},
        "For KKT, faces": {"problem": "faces", "optimizer": "max-margin", "samples_per_class": 10},
        "Points in the plane": {"problem": "toy-2d", "optimizer": "max-margin", "samples_per_class": 5, "hidden": 100,
                                "epochs": 5000, "flat": 0.0001},
        "Convolutional, 4 digits": {"network": "conv", "optimizer": "max-margin", "samples_per_class": 2,
                                    "hidden": 100, "channels": 64, "kernel": 14, "stride": 7},
        "As published": {"optimizer": "gd", "learning_rate": 0.01, "epochs": 1_000_000, "record_every": 1000,
                         "precision": "float64", "target_log_loss": -92.1},
    },
    "finetune": {
        "One full-rank step": {},
        "Rank 8": {"rank": 8},
        "NTK, T = 100": {"steps": 100, "learning_rate": 3e-5},
        "All weights": {"adaptation": "full"},
    },
    "attack": {
        "Demo": {},
        "Algebraic": {"method": "algebraic"},
        "Gradient matching": {"method": "ntk"},
        "KKT": {"method": "kkt", "restarts": 4},
        "Quick look": {"method": "ntk", "restarts": 4, "iterations": 300},
        "As published (Haim et al. 2022)": {
            "method": "kkt", "kkt_objective": "stationarity", "kkt_surrogate": "modified", "kkt_residual": "published",
            "candidates": 1000, "restarts": 1, "iterations": 50_000, "precision": "float64", "search": "pixels",
            "init_scale": 0.03498, "init_draw": "gaussian", "optimizer": "sgd", "lr_x": 0.03052,
            "lr_coefficients": 1e-4, "lr_schedule": "constant", "relu_alpha_start": 149.87, "relu_alpha_end": 149.87,
            "lambda_space": "linear", "lambda_start": "uniform", "min_lambda": 0.4471, "lambda_weight": 5.0,
            "box_weight": 1.0, "box_range": "centred", "record_every": 1000},
    },
}
PRESETS["attack"]["Ten classes (Buzaglo et al. 2023)"] = PRESETS["attack"]["As published (Haim et al. 2022)"] | {
    "kkt_margin": "hard", "lr_x": 0.00136, "lr_coefficients": 0.479, "min_lambda": 0.203, "relu_alpha_start": 39.5,
    "relu_alpha_end": 39.5}
PRESETS["search"] = {
    "Four knobs": {},
    "All six": {"knobs": ["init_scale", "lr_x", "lr_coefficients", "min_lambda", "relu_alpha_start", "relu_alpha_end"],
                "trials": 40},
    "Oracle": {"objective": "ssim"},
}
SHORT = {"compose-rank": "A: compose", "ntk-steps": "B: steps", "ntk-ranks": "B: ranks",
         "algebraic-ranks": "Algebraic: ranks", "ntk-init": "B: tiny init",
         "ntk-overlap": "B: overlap",
         "kkt-surrogate": "KKT: ReLU", "kkt-lambda-rate": "KKT: λ rate",
         "kkt-restarts": "KKT: restarts", "kkt-stationarity": "KKT: stationarity",
         "kkt-candidates": "KKT: candidates"}
PRESETS["experiment"] = {
    SHORT[name]: {"preset": name, **({"base": experiments.OWN} if preset.arms else {})}
    for name, preset in experiments.PRESETS.items()}
NOTES = {
    ("pretrain", "Demo"): "A thousand neurons wide, 250 digits a class, descent on the log-loss: about a minute.",
    ("pretrain", "Small and quick"): "A small network on few digits, to see how the laboratory works.",
    ("pretrain", "For KKT, 20 digits"): "Trained until the KKT residual is flat: seconds. Its digits come back best.",
    ("pretrain", "For KKT, 500 digits"): "The same with 250 digits a class: minutes.",
    ("pretrain", "For KKT, ten classes"): "Two of each digit, one output a class (Buzaglo et al. 2023): a minute.",
    ("pretrain", "For KKT, faces"): "Twenty pictures of 25 x 25 pixels, half of them faces: seconds.",
    ("pretrain", "Points in the plane"): "Ten points in four sectors: the picture that shows boundary and margins. "
                                         "Attack it with KKT and 10 samples.",
    ("pretrain", "Convolutional, 4 digits"): "Large filters, then one hidden layer: seconds. Attack it with KKT and 4 "
                                             "candidates; small filters and more digits give less.",
    ("pretrain", "As published"): "Plain gradient descent for a million epochs, as in Haim et al. 2022: many hours.",
    ("finetune", "One full-rank step"): "One SGD step, full rank: the adapter holds the whole gradient.",
    ("finetune", "Rank 8"): "One SGD step through rank 8, as most people would publish it.",
    ("finetune", "All weights"): "One SGD step without LoRA: the whole tuned network is released.",
    ("finetune", "NTK, T = 100"): "A hundred small steps: do the features stay frozen?",
    ("attack", "Demo"): "Looks at the update and takes the attack that suits it.",
    ("attack", "Algebraic"): "Patterns, equations and signs of each sample: seconds a sample, exact from rank 128 on.",
    ("attack", "Gradient matching"): "Adam, 16 restarts: about a minute on two cores, and images to watch.",
    ("attack", "KKT"): "Training digits out of the trained weights alone: name a checkpoint and no adapter.",
    ("attack", "Quick look"): "A few hundred steps, to see images begin to form.",
    ("attack", "As published (Haim et al. 2022)"): "Every value of the public run on 250 digits a class, in float64: "
    "hours on a CPU. Name a checkpoint and no adapter.",
    ("attack", "Ten classes (Buzaglo et al. 2023)"): "The published rates, λ floor, sharpness and 100 candidates a "
    "class, else as Haim et al. 2022: hours on a CPU. Name the checkpoint of a network of ten outputs.",
    ("search", "Four knobs"): "The four that Haim et al. 2022 searched, by the attack's own residual: minutes.",
    ("search", "All six"): "Also the learning rate of λ and the last sharpness, in twice the trials.",
    ("search", "Oracle"): "Oracle: judged by the truth. A ceiling for what tuning can do, no attack claim.",
    **{("experiment", SHORT[name]): preset.note for name, preset in experiments.PRESETS.items()},
}
