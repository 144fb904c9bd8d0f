"""Choice and description of the model that a run registers as its champion.

The champion is the recipe that the verdict *exports*: the advised one, unless another is better on
validation images. Loading it by its alias therefore gives the model that the verdict recommends.
"""

import hashlib
from pathlib import Path

import numpy as np

from search.engine.storage import below, delete_folder, is_below
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.journal import Journal
from search.records.metrics import METRICS
from search.records.trials import Trial
from search.stages.analysis import Analysis
from search.stages.experiment import confirm_roles
from search.tracking.champion import Champion, champion_trial, save_champion
from search.verdict.schema import Verdict
from search.verdict.wording import ROLE_WORDS, count
from trainable.data.datasets import Dataset
from trainable.models.saved_model import MODEL_FILE, loading_code

_SHOWN = 16  # Number of images among which the model's example is chosen.


def make_champion(
    config: RunConfig, plan: Plan, dataset: Dataset, journal: Journal, analysis: Analysis
) -> Champion:
    """Write the champion's weights into the run directory, unless they are there already.

    The checkpoints of the confirmation runs, three times as large, are deleted then.

    Raises:
        OSError: If the weights were not kept, are not on this machine, or may be somebody else's.
    """
    exported = analysis.verdict.exported
    trials = journal.of_stage("confirm")
    recipes = confirm_roles(plan, analysis.best, analysis.advice.recipe)
    trial = champion_trial(trials, recipes[exported])
    if trial is None:
        raise FileNotFoundError(
            f"No confirmation run of the exported recipe ({exported}) left its weights."
        )
    # The journal may come from somebody else: read and delete nothing outside its storage.
    storage = below(config.storage or config.run_dir, config.run_name, "ray")
    ours = [t for t in trials if t.checkpoint is not None and is_below(storage, t.checkpoint)]
    model_file = config.path / MODEL_FILE
    if not _holds(model_file, trial, journal):
        if trial not in ours:
            raise FileNotFoundError(f"{trial.checkpoint} does not lie in {storage}.")
        save_champion(config.path, trial, class_names=plan.data.class_names)
        journal.wrote_model(trial.spec.trial_id, _sha256(model_file))
    for other in ours:
        delete_folder(str(other.checkpoint))
    if config.home is None or not config.home.has_begun:
        raise PermissionError(
            f"{model_file} is not registered: the run was begun elsewhere, and whoever loads a "
            "champion trusts it. Register it by hand if you do."
        )
    num_shown = 0 if config.no_example else _SHOWN
    metric = METRICS[analysis.verdict.metric]
    reached = trial.records[-1].metrics[metric.on("test")]
    return Champion(
        model_file=model_file,
        images=np.asarray(dataset.images[dataset.split.train[:num_shown]]),
        name=f"{plan.data.name}-{trial.spec.recipe.model}",
        description=_description(plan, trial, analysis),
        tags={
            "dataset": plan.data.name,
            "recipe": exported,
            f"test_{metric.name}": f"{reached:.{metric.unit.kept_decimals}f}",
            "search_id": config.search_id,
        },
    )


def _holds(model_file: Path, trial: Trial, journal: Journal) -> bool:
    """Whether the file already has the weights of that trial, from an earlier call.

    The file may have been changed since, so that only the hash in the journal is proof.
    """
    try:
        return journal.model == (trial.spec.trial_id, _sha256(model_file))
    except FileNotFoundError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _why(verdict: Verdict) -> str:
    name = ROLE_WORDS[verdict.exported]
    if verdict.exported == "advised":
        name += ": the reference with the turns of the verdict"
    return f"{name}; {verdict.exported_because}" if verdict.exported_because else name


def _description(plan: Plan, trial: Trial, analysis: Analysis) -> str:
    """Write the model's description in Markdown: origin, accuracy, how to load it."""
    exported, data, recipe = analysis.verdict.exported, plan.data, trial.spec.recipe
    metric = METRICS[analysis.verdict.metric]
    here, mean = (
        metric.unit.value(measured[metric.on("test")])
        for measured in (trial.records[-1].metrics, analysis.measured[exported])
    )
    confirmed = analysis.verdict.confirmed
    seeds = f", {mean} over {count(confirmed.seeds, 'fresh seed')}" if confirmed else ""
    return "\n\n".join(
        [
            f"**{here} {metric.words} on {data.num_test:,} test images** (this seed{seeds}).",
            f"It is {_why(analysis.verdict)}. The weights are those of the confirmation run "
            f"`{trial.spec.trial_id}`, the first fresh seed, not the luckiest: {recipe.model}, "
            f"{data.num_train:,} training images of {data.name}, {recipe.epochs} epochs, seed "
            f"{recipe.seed}.",
            "Takes images as they lie in the dataset (uint8, image, height, width, 3), gives "
            "probabilities of: " + ", ".join(data.class_names[:20]) + ".",
            "Without MLflow, its `model.safetensors` loads with plain timm:\n\n```python\n"
            + loading_code(recipe, num_classes=len(data.class_names))
            + "```",
        ]
    )
