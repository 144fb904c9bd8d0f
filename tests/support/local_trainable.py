"""The trainable without Ray, on images that a toy model learns in milliseconds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from search.engine.border import config_of
from search.records.trials import Trial, TrialSpec
from tests.support.toy_training import TOY, toy_dataset
from trainable.ray_trainable import RecipeTrainable

EPOCHS = 3


class LocalTrainable(RecipeTrainable):
    """As a worker makes it, in this process."""

    def setup(self, config: dict[str, Any]) -> None:  # type: ignore[override]
        super().setup(config, dataset=toy_dataset(), num_threads=1)


def trained(trainable: LocalTrainable) -> dict[str, Any]:
    """One epoch as Tune has it trained: what `step` returns, with Tune's own counters."""
    result: dict[str, Any] = trainable.train()  # type: ignore[no-untyped-call]
    return result


def a_config(number: int = 0, *, checkpoint: Path | None = None) -> dict[str, Any]:
    recipe = replace(TOY, epochs=EPOCHS, seed=number)
    spec = TrialSpec(stage="search", number=number, role="proposed", recipe=recipe)
    return config_of(Trial(spec=spec), checkpoint=str(checkpoint) if checkpoint else None)
