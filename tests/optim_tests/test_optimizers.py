"""One contract over every optimizer of the slot, then what is special about each."""

import copy
import io
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from pytorch_optimizer import SAM, SophiaH
from torch import Tensor, nn

from spaces.recipe import OPTIMIZERS, Recipe
from spaces.strengths.values import Strengths
from spaces.task import Task
from spaces.units import to_raw
from trainable.batch_norm import refresh_batch_norm
from trainable.losses import cross_entropy
from trainable.optim.curvature_aware import SOPHIA_CLIP, SOPHIA_PERIOD_STEPS
from trainable.optim.optimizer_slot import Criterion
from trainable.optim.optimizers import DEFAULTS, create_optimizer
from trainable.optim.param_groups import NO_DECAY
from trainable.optim.schedule import lr_factor
from trainable.optim.sharpness_aware import SAM_RADIUS
from trainable.optim.sophia import SophiaG
from trainable.precision import Diverged, Precision, StepResult

CPU = torch.device("cpu")
# Rates at which the toy task is learned in 40 steps; 0.01 for the others.
TOY_LR = {"sgd": 0.05, "sophia": 0.2, "lion": 3e-3}


def plain_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(logits, targets, label_smoothing=0.0)


class Toy:
    """Three Gaussian blobs, a network with BatchNorm, and the loop of a trainer in small."""

    def __init__(
        self, optimizer: str, *, weight_decay: float = 0.0, dtype: torch.dtype | None = None
    ) -> None:
        torch.manual_seed(0)
        self.labels = torch.arange(48) % 3
        centres = 2 * torch.eye(3, 8)
        self.images = centres[self.labels] + 0.5 * torch.randn(48, 8)
        self.model = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)
        )
        self.lr = TOY_LR.get(optimizer, 1e-2)
        recipe = Recipe(
            optimizer=optimizer, lr=self.lr, strengths=Strengths(weight_decay=weight_decay)
        )
        self.slot = create_optimizer(recipe, self.model)
        self.precision = Precision(dtype, CPU)
        self.passes = 0
        self.slot.train()

    def forward(self) -> tuple[Tensor, Tensor]:
        return self.model(self.images), self.labels

    def batch_pass(self, criterion: Criterion) -> Tensor:
        self.passes += 1
        with self.precision.autocast():
            loss = criterion(*self.forward())
        self.precision.backward(loss)
        return loss.detach()

    def gather(self, criterion: Criterion = plain_loss) -> float:
        return float(self.slot.gather_gradients(self.batch_pass, criterion, self.precision))

    def step(self, criterion: Criterion = plain_loss, grad_clip_norm: float = 0.0) -> StepResult:
        self.slot.set_lr(self.lr)
        self.gather(criterion)
        return self.precision.step(self.slot.inner, self.model.parameters(), grad_clip_norm)

    def loss(self) -> float:
        """In eval mode on the weights to evaluate, as a run is judged."""
        self.slot.eval()
        modules = copy.deepcopy(self.model)
        if self.slot.refresh_before_eval:
            refresh_batch_norm(modules, [self.images])
        modules.eval()
        with torch.no_grad():
            value = plain_loss(modules(self.images), self.labels)
        self.slot.train()
        return float(value)

    def weights(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self.model.parameters()]

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.slot.state_dict(),
            "precision": self.precision.state_dict(),
        }


def poisoned(logits: Tensor, targets: Tensor) -> Tensor:
    return plain_loss(logits, targets) * math.inf


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested dicts and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from tensors(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from tensors(entry)


def saved_and_loaded(state: dict[str, Any]) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("name", OPTIMIZERS)
class TestEveryOptimizer:
    @pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
    def test_the_loss_of_a_toy_task_falls_in_every_precision(
        self, name: str, dtype: torch.dtype | None
    ) -> None:
        toy = Toy(name, dtype=dtype)
        before = toy.loss()
        for _ in range(40):
            assert toy.step(grad_clip_norm=1.0).stepped
        assert toy.loss() < before / 3

    def test_a_run_restored_from_a_checkpoint_goes_on_bit_for_bit(self, name: str) -> None:
        toy = Toy(name, weight_decay=0.1)
        for _ in range(7):
            toy.step()
        toy.slot.eval()  # An epoch ends with an evaluation, then comes the checkpoint.
        checkpoint = saved_and_loaded(toy.state())
        random_state = torch.get_rng_state()
        other = Toy(name, weight_decay=0.1)
        other.step()  # So that a state that is not restored shows.
        other.model.load_state_dict(checkpoint["model"])
        other.slot.load_state_dict(checkpoint["optimizer"])
        other.precision.load_state_dict(checkpoint["precision"])
        for run in (toy, other):
            torch.set_rng_state(random_state)
            run.slot.train()
            for _ in range(7):
                run.step()
            run.slot.eval()
        assert all(map(torch.equal, toy.weights(), other.weights()))
        ours, theirs = tensors(toy.state()), tensors(other.state())
        assert all(torch.equal(mine, yours) for mine, yours in zip(ours, theirs, strict=True))

    def test_without_a_gradient_only_the_decayed_group_shrinks(self, name: str) -> None:
        toy = Toy(name, weight_decay=0.1)
        before = toy.weights()
        toy.slot.set_lr(toy.lr)
        toy.gather(lambda logits, targets: 0.0 * plain_loss(logits, targets))
        toy.slot.inner.step()
        for weight, start in zip(toy.model.parameters(), before, strict=True):
            if weight.ndim <= 1:
                assert torch.equal(weight, start)
            else:
                assert weight.abs().sum() < start.abs().sum()

    def test_the_groups_are_those_of_the_recipe(self, name: str) -> None:
        groups = Toy(name, weight_decay=0.25).slot.inner.param_groups
        by_name = {group["name"]: group["weight_decay"] for group in groups}
        assert by_name == {"decay": 0.25, NO_DECAY: 0.0}

    def test_each_group_learns_at_its_share_of_the_rate(self, name: str) -> None:
        toy = Toy(name)
        frozen, moving = toy.slot.inner.param_groups
        frozen["lr_scale"] = 0.0
        before = toy.weights()
        toy.step()
        assert [group["lr"] for group in (frozen, moving)] == [0.0, toy.lr]
        frozen_ids = {id(parameter) for parameter in frozen["params"]}
        for weight, start in zip(toy.model.parameters(), before, strict=True):
            assert torch.equal(weight, start) is (id(weight) in frozen_ids)

    def test_a_step_that_float16_overflows_in_leaves_weights_and_state_as_they_were(
        self, name: str
    ) -> None:
        toy = Toy(name, weight_decay=0.1, dtype=torch.float16)
        for _ in range(SOPHIA_PERIOD_STEPS):  # Up to the next curvature estimate of Sophia.
            toy.step()
        weights, state = toy.weights(), copy.deepcopy(toy.slot.state_dict())
        assert not toy.step(poisoned).stepped
        assert all(map(torch.equal, toy.weights(), weights))
        after = toy.slot.state_dict()
        assert after["param_groups"] == state["param_groups"]
        pairs = zip(tensors(after), tensors(state), strict=True)
        assert all(torch.equal(now, then) for now, then in pairs)
        assert toy.precision.num_skipped == 1
        assert toy.step().stepped
        assert all(weight.isfinite().all() for weight in toy.weights())

    def test_a_run_whose_first_step_overflows_goes_on_as_if_it_had_not_been_taken(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first step is where the scaler, which starts high, skips most often."""
        skipping, plain = Toy(name, dtype=torch.float16), Toy(name, dtype=torch.float16)
        # Memory that nothing has written reads as NaN then, not as what happens to be there.
        monkeypatch.setattr("torch.utils.deterministic.fill_uninitialized_memory", True)
        torch.use_deterministic_algorithms(True)
        try:
            assert not skipping.step(poisoned).stepped
            plain.model.load_state_dict(skipping.model.state_dict())  # BatchNorm saw the batch.
            for toy in (skipping, plain):
                torch.manual_seed(1)
                for _ in range(3):
                    assert toy.step().stepped
        finally:
            torch.use_deterministic_algorithms(False)
        for weight, expected in zip(skipping.weights(), plain.weights(), strict=True):
            torch.testing.assert_close(weight, expected, rtol=1e-3, atol=1e-5)

    def test_a_step_that_diverges_leaves_the_weights_as_they_were(self, name: str) -> None:
        toy = Toy(name, weight_decay=0.1)
        toy.step()
        weights = toy.weights()
        with pytest.raises(Diverged, match="step 1"):
            toy.step(poisoned)
        assert all(map(torch.equal, toy.weights(), weights))

    def test_batch_norm_records_each_batch_once(self, name: str) -> None:
        toy = Toy(name)
        toy.step()
        norm = toy.model[1]
        expected = 0.1 * toy_hidden_mean(name)
        torch.testing.assert_close(norm.running_mean, expected, rtol=1e-4, atol=1e-6)
        assert norm.num_batches_tracked == 1

    def test_it_has_a_rate_and_a_decay_to_start_with(self, name: str) -> None:
        lr, weight_decay = DEFAULTS[name]
        assert 0.0 < lr <= 0.1
        assert 0.0 < weight_decay < 1.0


def toy_hidden_mean(name: str) -> Tensor:
    toy = Toy(name)
    with torch.no_grad():
        out: Tensor = toy.model[0](toy.images).mean(dim=0)
    return out


@pytest.mark.parametrize("name", ["adamw", "muon", "lion", "sam", "adamw_schedulefree", "sophia"])
def test_decay_is_decoupled_and_takes_the_same_share_of_every_weight(name: str) -> None:
    decayed, plain = Toy(name, weight_decay=0.5), Toy(name)
    start = decayed.weights()[0]
    for toy in (decayed, plain):
        toy.step()
        toy.slot.eval()
    by_decay = plain.weights()[0] - decayed.weights()[0]
    torch.testing.assert_close(by_decay, decayed.lr * 0.5 * start, rtol=1e-3, atol=1e-6)


def pull_without_gradient(name: str, total_pull: float) -> float:
    """Compute the pull of decay alone on a weight over a run, as ``-2 ln`` of the rest.

    Both halves of the schedule average half the peak, so a total pull W leaves ``exp(-W / 2)``.
    """
    num_train, batch_size, epochs = 320, 8, 15
    recipe = Recipe(optimizer=name, lr=1e-3, batch_size=batch_size, epochs=epochs)
    task = Task.of(recipe, num_train=num_train, num_classes=2, num_blocks=0)
    weight_decay = to_raw("weight_decay", total_pull, task)
    recipe = replace(recipe, strengths=Strengths(weight_decay=weight_decay))
    torch.manual_seed(0)
    model = nn.Linear(4, 4, bias=False)
    start = model.weight.detach().clone()
    slot = create_optimizer(recipe, model)
    slot.train()
    precision = Precision(None, CPU)

    def nothing(_criterion: Criterion) -> Tensor:
        loss: Tensor = 0.0 * model(torch.ones(1, 4)).sum()
        precision.backward(loss)
        return loss.detach()

    for step in range(task.total_steps):
        factor = lr_factor(
            step,
            schedule=recipe.schedule if slot.uses_schedule else "constant",
            total_steps=task.total_steps,
            warmup_steps=task.total_steps // 10,
        )
        slot.set_lr(recipe.lr * factor)
        slot.gather_gradients(nothing, plain_loss, precision)
        slot.inner.step()
    slot.eval()
    left = float((model.weight.detach() / start).mean())
    return -2 * math.log(left)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "adam"])
def test_a_total_pull_takes_the_same_from_a_weight_under_every_optimizer(name: str) -> None:
    assert pull_without_gradient(name, 0.2) == pytest.approx(0.2, rel=0.1)


def test_under_adam_a_weight_without_gradient_shrinks_alike_whatever_the_decay() -> None:
    """Adam divides the penalty by its own size: why its total pull is nominal."""
    weak, strong = (pull_without_gradient("adam", total_pull) for total_pull in (0.2, 2.0))
    assert strong == pytest.approx(weak, rel=0.05)


def test_adam_has_its_decay_in_the_gradient_as_a_penalty_would() -> None:
    decayed, penalized = Toy("adam", weight_decay=0.5), Toy("adam")

    def with_penalty(logits: Tensor, targets: Tensor) -> Tensor:
        matrices = [p for p in penalized.model.parameters() if p.ndim > 1]
        return plain_loss(logits, targets) + 0.25 * sum(p.square().sum() for p in matrices)

    for _ in range(3):
        decayed.step()
        penalized.step(with_penalty)
    for weight, expected in zip(decayed.weights(), penalized.weights(), strict=True):
        torch.testing.assert_close(weight, expected)


def test_the_classical_optimizers_run_in_one_fused_kernel() -> None:
    for name in ("adamw", "adam", "sgd", "sam"):
        assert Toy(name).slot.inner.defaults["fused"] is True


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_only_the_schedule_free_one_keeps_its_rate_and_needs_statistics(name: str) -> None:
    slot = Toy(name).slot
    assert slot.uses_schedule is (name != "adamw_schedulefree")
    assert slot.refresh_before_eval is (name == "adamw_schedulefree")


def test_sam_is_the_sam_of_pytorch_optimizer() -> None:
    ours, theirs = Toy("sam", weight_decay=0.1), Toy("sam", weight_decay=0.1)
    for norm in (ours.model[1], theirs.model[1]):
        norm.eval()  # The package records BatchNorm statistics in both passes.
    reference = SAM(
        [{k: g[k] for k in ("params", "weight_decay")} for g in theirs.slot.inner.param_groups],
        torch.optim.AdamW,
        rho=SAM_RADIUS,
        lr=ours.lr,
    )

    def one_pass() -> float:
        reference.zero_grad()
        return float(theirs.batch_pass(plain_loss))

    for _ in range(5):
        ours.step()
        one_pass()
        reference.step(one_pass)
    for mine, yours in zip(ours.weights(), theirs.weights(), strict=True):
        torch.testing.assert_close(mine, yours)


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_sam_takes_its_second_gradient_at_the_radius_whatever_the_loss_scale(
    dtype: torch.dtype | None,
) -> None:
    toy = Toy("sam", dtype=dtype)
    seen = []

    def watched(criterion: Criterion) -> Tensor:
        seen.append(toy.weights())
        return toy.batch_pass(criterion)

    toy.slot.gather_gradients(watched, plain_loss, toy.precision)
    start, worst = seen
    away = torch.cat([(w - s).flatten() for w, s in zip(worst, start, strict=True)])
    assert away.norm().item() == pytest.approx(SAM_RADIUS, rel=1e-3)
    assert all(map(torch.equal, toy.weights(), start))


def test_sam_puts_the_weights_back_when_the_second_pass_fails() -> None:
    toy = Toy("sam")
    start = toy.weights()

    def fails_second(criterion: Criterion) -> Tensor:
        if toy.passes == 1:
            raise RuntimeError("out of memory")
        return toy.batch_pass(criterion)

    with pytest.raises(RuntimeError, match="out of memory"):
        toy.slot.gather_gradients(fails_second, plain_loss, toy.precision)
    assert all(map(torch.equal, toy.weights(), start))
    assert toy.model[1].track_running_stats


@pytest.mark.parametrize(
    ("name", "passes_of_21_steps"), [("adamw", 21), ("sam", 42), ("sophia", 21 + 3)]
)
def test_an_optimizer_takes_the_passes_it_needs_and_no_more(
    name: str, passes_of_21_steps: int
) -> None:
    toy = Toy(name)
    for _ in range(21):
        toy.step()
    assert toy.passes == passes_of_21_steps


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_the_curvature_of_sophia_is_the_diagonal_of_the_gauss_newton_matrix(
    dtype: torch.dtype | None,
) -> None:
    """For a linear model the diagonal is known: the mean over images of p (1 - p) x^2."""
    torch.manual_seed(0)
    model = nn.Linear(4, 3, bias=False)
    slot = create_optimizer(Recipe(optimizer="sophia"), model)
    precision = Precision(dtype, CPU)
    images, labels = torch.randn(64, 4), torch.zeros(64, dtype=torch.int64)
    estimates = []
    for _ in range(600):
        slot.gather_gradients(
            lambda criterion: run_pass(model, images, labels, precision, criterion),
            plain_loss,
            precision,
        )
        estimates.append(slot.inner.curvature[0])  # type: ignore[attr-defined]
    with torch.no_grad():
        p = model(images).softmax(dim=-1)
    diagonal = torch.einsum("bk,bd->kd", p * (1 - p), images.square()) / 64
    torch.testing.assert_close(torch.stack(estimates).mean(dim=0), diagonal, rtol=0.25, atol=0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_curvature_that_is_not_finite_leaves_the_average_as_it_is(value: float) -> None:
    toy = Toy("sophia")
    for _ in range(SOPHIA_PERIOD_STEPS):
        toy.step()
    state = toy.slot.inner.state
    averages = [state[p]["curvature"].clone() for p in toy.model.parameters()]

    def overflows_first(criterion: Criterion) -> Tensor:
        own_labels = criterion is not plain_loss
        toy.precision.backward((value if own_labels else 1.0) * plain_loss(*toy.forward()))
        return torch.zeros(())

    toy.slot.gather_gradients(overflows_first, plain_loss, toy.precision)
    toy.slot.inner.step()
    for parameter, average in zip(toy.model.parameters(), averages, strict=True):
        torch.testing.assert_close(state[parameter]["curvature"], average)
        assert average.abs().sum() > 0


def run_pass(
    model: nn.Module, images: Tensor, labels: Tensor, precision: Precision, criterion: Criterion
) -> Tensor:
    with precision.autocast():
        loss = criterion(model(images), labels)
    precision.backward(loss)
    return loss.detach()


def test_sophia_is_the_sophia_of_pytorch_optimizer() -> None:
    """Given the same gradients and curvature; the package estimates it in another way."""
    generator = torch.Generator().manual_seed(0)
    shapes, clip, lr = [(7, 3), (5,), (2, 2)], 0.2, 0.1

    def drawn() -> list[Tensor]:
        return [torch.randn(shape, generator=generator) for shape in shapes]

    start = drawn()
    sides = []
    for _ in range(2):
        first, second, third = (nn.Parameter(t.clone()) for t in start)
        groups = [
            {"params": [first, second], "weight_decay": 0.1},
            {"params": [third], "weight_decay": 0.0, "lr": 0.5 * lr},
        ]
        sides.append(([first, second, third], groups))
    (mine, my_groups), (yours, your_groups) = sides
    ours = SophiaG(my_groups, lr=lr, clip=clip)
    theirs = SophiaH(your_groups, lr=lr, p=clip, update_period=SOPHIA_PERIOD_STEPS)
    ratios = []
    for step in range(2 * SOPHIA_PERIOD_STEPS + 1):
        curvature = None
        if step % SOPHIA_PERIOD_STEPS == 0:
            curvature = [10.0 * t.abs() for t in drawn()]
        for own, other, gradient in zip(mine, yours, drawn(), strict=True):
            own.grad, other.grad = gradient.clone(), gradient.clone()
        ours.curvature = curvature
        ours.step()
        theirs.step(hessian=curvature)
        for own, other in zip(mine, yours, strict=True):
            torch.testing.assert_close(own, other)
            state = ours.state[own]
            ratios.append((state["momentum"] / state["curvature"]).abs().flatten())
    is_clipped = torch.cat(ratios) > clip
    assert 0.1 < is_clipped.float().mean() < 0.9
    assert ours.num_steps == 2 * SOPHIA_PERIOD_STEPS + 1


def test_no_step_of_sophia_is_longer_than_its_clip() -> None:
    toy = Toy("sophia")
    for _ in range(3):
        before = toy.weights()
        toy.step()
        longest = max(
            (w - b).abs().max().item() for w, b in zip(toy.weights(), before, strict=True)
        )
        assert 0.0 < longest <= toy.lr * SOPHIA_CLIP * (1 + 1e-5)


def test_schedule_free_evaluates_the_running_mean_of_its_base_iterates() -> None:
    """With equal rates, the evaluated weights are the plain mean of the iterates ``z``."""
    toy = Toy("adamw_schedulefree")
    iterates = []
    for _ in range(6):
        toy.step()
        iterates.append([toy.slot.inner.state[p]["z"].clone() for p in toy.model.parameters()])
    toy.slot.eval()
    for i, weight in enumerate(toy.weights()):
        mean = torch.stack([iterate[i] for iterate in iterates]).mean(dim=0)
        torch.testing.assert_close(weight, mean, rtol=1e-4, atol=1e-6)
