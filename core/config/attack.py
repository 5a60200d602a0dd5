"""The knobs that every attack has, whatever its method: what is attacked, what is known, and for how long."""

from typing import Annotated, Literal

from pydantic import Field

from core.config.knob import knob
from core.config.tunable import Tunable


class AttackKnobs(Tunable):
    """What every method of attack shares; its own knobs live with it (`core.reconstruction.methods`)."""

    kind: Literal["attack"] = "attack"
    finetune: str = knob("", help="Victim: the id of a fine-tuning run of this laboratory. Leave empty to attack "
                         "files made elsewhere.")
    checkpoint: str = knob("", help="Base checkpoint (.safetensors or .pth, or a folder of transformers with a vision "
                           "transformer), for files made elsewhere.")
    adapter: str = knob("", help="peft adapter folder, for files made elsewhere.")
    tuned: str = knob("", help="Fully fine-tuned checkpoint (.safetensors or .pth) in the place of an adapter, for "
                      "files made elsewhere.")
    input_mean: str = knob("", help="What was subtracted from the pixels before the base saw them, for files made "
                           "elsewhere: one number (0.1307; 0 is nothing), one a channel parted by commas, or a file "
                           "with one tensor; for pixels in [0, 1] or 0..255. It goes before what the checkpoint says. "
                           "Empty takes what the checkpoint says; where it says nothing, the usual ones are tried.",
                           group="expert")
    input_std: str = knob("", help="What the pixels were divided by after that, given in the same ways; empty is what "
                          "the checkpoint says, or 1.", group="expert")
    method: str = knob(
        "auto", help="Attack; auto takes the one that suits what was released and says why.")
    threat: Literal["oracle", "informed", "released-only"] = knob(
        "informed", help="What the adversary knows of a fine-tuning run. released-only: the published files. informed: "
        "also labels, N, T and learning rate. oracle: also the fine-tuning coefficients (a ceiling, not an attack "
        "claim). Of files made elsewhere, what you give below is known and nothing else.")
    samples: int | None = knob(None, help="Known number N of private samples, for files made elsewhere; empty is "
                               "unknown.", ge=1, le=512, group="expert")
    labels: list[Annotated[int, Field(ge=0, le=999)]] | None = knob(
        None, help="Known labels (1 odd, 0 even; of several outputs the class, from 0), for files made elsewhere; "
        "empty is unknown.", group="expert")
    known_learning_rate: float | None = knob(
        None, help="Known fine-tuning learning rate, for files made elsewhere; empty is unknown.", gt=0,
        group="expert")
    known_steps: int | None = knob(None, help="Known number T of fine-tuning steps, for files made elsewhere; empty "
                                   "is unknown.", ge=1, group="expert")
    max_seconds: float | None = knob(None, help="Stop after so many seconds; empty is no limit.", unit="s", gt=0)
