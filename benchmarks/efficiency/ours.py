"""Our search on the clock: the stage of `search.commands.pipeline`, without Ray and training."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from benchmarks.efficiency.clock import METRIC
from benchmarks.efficiency.table import PROBLEMS, Problem
from search.engine.conductor import Conductor, Wait
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.planning import make_plan
from search.records.journal import Journal
from search.records.trials import Record
from search.stages.analysis import pick_best
from search.stages.sequence import stage_makers
from spaces.strengths.values import Strengths


class Ours:
    """The search stage of a run: journal, anchors, proposer, rungs, reruns and pick.

    Args:
        problem: What is searched on.
        seed: Of the search.
        num_samples: Trials, anchors included, reruns not.
        run_dir: Empty directory for its files.
        data_dir: Where datasets lie: the plan is made from the real one.
    """

    def __init__(
        self, problem: Problem, seed: int, *, num_samples: int, run_dir: Path, data_dir: Path
    ) -> None:
        self._config, self._plan = planned(problem.name, data_dir)
        self._config = replace(
            self._config, seed=seed, num_samples=num_samples, run_dir=str(run_dir), run_name="run"
        )
        self._config.path.mkdir(parents=True)
        self._journal = Journal(self._config.path)
        makers = stage_makers(self._config, self._plan, self._journal, deadline=None)
        self._conductor = Conductor(self._journal, makers)

    def start(self) -> tuple[str, Strengths] | None:
        """The trial that the conductor starts next."""
        answer = self._conductor.next_trial()
        if isinstance(answer, Wait):
            return None
        return answer.spec.trial_id, answer.spec.recipe.strengths

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Report what a trial of a run would: validation only where it is evaluated."""
        spec = self._conductor.trial(trial_id).spec
        is_evaluated = epoch in (*spec.eval_epochs, spec.recipe.epochs)
        return self._conductor.report(
            Record(
                trial_id=trial_id,
                stage=spec.stage,
                epoch=epoch,
                metrics=metrics if is_evaluated else {},
            )
        )

    def pick(self) -> Strengths:
        """Return the strengths that the run would compare with its reference."""
        return pick_best(self._journal, self._plan, self._config).strengths


@cache
def planned(problem_name: str, data_dir: Path) -> tuple[RunConfig, Plan]:
    """The plan of a run on a problem, as ``make plan`` makes it."""
    problem = PROBLEMS[problem_name]
    recipe = problem.recipe
    config = RunConfig(
        dataset=problem.dataset,
        stages=("search",),
        run_dir="",
        run_name="",
        data_dir=str(data_dir),
        created="",
        model=recipe.model,
        pretrained=recipe.pretrained,
        epochs=recipe.epochs,
        lr=recipe.lr,
        image_size=recipe.image_size,
        num_train=problem.subset,
        amp_dtype="none",
        metric=METRIC,
    )
    plan, _ = make_plan(config)
    # A problem does not know how many images each class has.
    task = replace(plan.task, smallest_class=0, largest_class=0)
    assert task == problem.task, (task, problem.task)
    anchors = {name: recipe.strengths for name, recipe in plan.anchors.items()}
    assert anchors == problem.anchors, (anchors, problem.anchors)
    return config, plan
