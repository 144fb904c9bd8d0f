"""Reading of schedule, length and peak learning rate from arguments of timm's ``train.py``."""

from search.recipes.timm_args import TimmArgs
from spaces.errors import InputError
from trainable.optim.schedule import WSD_DECAY_FRACTION

_SCHEDULES = {"cosine": "cosine", "constant": "constant", "none": "constant"}
# A step schedule is at the peak most of the time and ends low; wsd is our most similar one.
_SCHEDULE_STAND_INS = {"poly": "cosine", "tanh": "cosine"}


def schedule_of(given: TimmArgs) -> tuple[str, str]:
    """Return our most similar schedule, and timm's in words if it is another."""
    name = given.text("sched")
    if name == "step":
        rate, every = given.number("decay_rate", 0.0), given.number("decay_epochs", 0.0)
        if rate == 1 or every >= given.integer("epochs", 1):
            return "constant", ""
        return "wsd", f"step decay, times {rate:g} every {every:g} epochs"
    if name == "multistep":
        milestones = ", ".join(f"{epoch:g}" for epoch in given.numbers("decay_milestones", 0.0))
        rate = given.number("decay_rate", 0.0)
        return "wsd", f"step decay, times {rate:g} after epochs {milestones}"
    if name == "cosine" and given.peek("lr_cycle_limit") not in (0, 1):
        return "cosine", f"cosine with {given['lr_cycle_limit']} restarts"
    if name == "wsd":
        return "wsd", _wsd_cooldown(given)
    if name in _SCHEDULES:
        return _SCHEDULES[name], ""
    return _SCHEDULE_STAND_INS.get(name, "wsd"), f"{name} of timm"


def _wsd_cooldown(given: TimmArgs) -> str:
    """Describe the cooldown if it is not a fifth of the run, as it is here; else empty.

    As a cooldown is a whole number of steps, small differences are ignored.
    """
    total_epochs, warmup_epochs = epochs_of(given)
    length = given.number("decay_epochs", 0.0)
    # In timm, below 1 it is a share of the run after the warmup, from 1 on a number of epochs.
    epochs = length * (total_epochs - warmup_epochs) if length < 1 else length
    share = epochs / total_epochs
    ours = min(WSD_DECAY_FRACTION, 1 - warmup_epochs / total_epochs)
    return "" if abs(share - ours) < 0.03 else f"wsd with a cooldown of {share:.0%} of the run"


def epochs_of(given: TimmArgs) -> tuple[int, int]:
    """Return the number of all epochs, and the number of warmup epochs among them."""
    epochs, schedule = given.integer("epochs", 1), given["sched"]
    warmup = 0 if schedule == "none" else given.integer("warmup_epochs", 0)
    # timm trains a cooldown only after a schedule that has a length of its own.
    has_length = schedule in ("cosine", "tanh", "poly", "wsd", "rsqrt")
    cooldown = given.integer("cooldown_epochs", 0) if has_length else 0
    if given.flag("warmup_prefix"):
        return epochs + warmup + cooldown, warmup
    if warmup >= epochs:
        raise InputError(
            f"`warmup_epochs < epochs` must hold, but got {warmup} and {epochs}: "
            "lower `warmup_epochs`, or set `warmup_prefix` to train them on top."
        )
    return epochs + cooldown, warmup


def peak_lr(given: TimmArgs, batch_size: int) -> float:
    """Return ``lr``, or ``lr_base`` scaled with the batch size by the rule of ``train.py``."""
    if given["lr"]:
        return given.number("lr", 0.0)
    ratio = batch_size / given.number("lr_base_size", 1)
    name = given.text("opt").lower()
    scaling = given["lr_base_scale"] or ("sqrt" if "ada" in name or "lamb" in name else "linear")
    return given.number("lr_base", 0.0) * (ratio**0.5 if scaling == "sqrt" else ratio)
