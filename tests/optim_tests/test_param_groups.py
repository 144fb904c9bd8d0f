"""Which parameter decays, and how fast each layer learns, on real models."""

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from timm.optim._param_groups import param_groups_layer_decay, param_groups_weight_decay
from torch import Tensor, nn

from trainable.optim.param_groups import decayed_vectors, has_layers, param_groups

MODELS = ["tf_efficientnet_lite0", "resnet18", "vit_tiny_patch16_224", "convnext_atto"]


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> nn.Module:
    with torch.device("meta"):  # Only names and shapes matter.
        return timm.create_model(request.param, num_classes=10)


class Planted(nn.Module):
    """One parameter of each kind that the rule has to tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.token = nn.Parameter(torch.zeros(1, 1, 2))
        self.table_of_positions = nn.Parameter(torch.zeros(4, 2))
        self.block = nn.Module()
        self.block.bias = nn.Parameter(torch.zeros(2, 2))  # A bias in all but its dimensions.
        self.scalar = nn.Parameter(torch.zeros(()))
        self.frozen = nn.Parameter(torch.zeros(2, 2), requires_grad=False)

    def no_weight_decay(self) -> set[str]:
        return {"token", "table_*"}


def names_by_decay(model: nn.Module, groups: list[dict[str, Any]]) -> dict[float, set[str]]:
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    by_decay: dict[float, set[str]] = {}
    for group in groups:
        by_decay.setdefault(group["weight_decay"], set()).update(
            name_of[id(parameter)] for parameter in group["params"]
        )
    return by_decay


def per_parameter(groups: list[dict[str, Any]], key: str) -> dict[int, float]:
    return {id(parameter): group[key] for group in groups for parameter in group["params"]}


def test_only_the_matrix_decays_among_one_parameter_of_each_kind() -> None:
    model = Planted()
    decayed = names_by_decay(model, param_groups(model, weight_decay=0.05))
    assert decayed == {
        0.05: {"linear.weight"},
        0.0: {
            "linear.bias",
            "norm.weight",
            "norm.bias",
            "token",
            "table_of_positions",
            "block.bias",
            "scalar",
        },
    }


def test_without_the_split_everything_trainable_decays() -> None:
    groups = param_groups(Planted(), weight_decay=0.05, no_decay_split=False)
    assert [(group["name"], group["weight_decay"]) for group in groups] == [("decay", 0.05)]
    assert len(groups[0]["params"]) == 8


@pytest.mark.parametrize("layer_decay", [1.0, 0.75])
@pytest.mark.parametrize("split", [True, False])
def test_every_trainable_parameter_is_in_exactly_one_group(
    model: nn.Module, layer_decay: float, split: bool
) -> None:
    groups = param_groups(model, weight_decay=0.1, no_decay_split=split, layer_decay=layer_decay)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


def test_a_tied_parameter_is_in_one_group_only() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    groups = param_groups(model, weight_decay=0.1)
    assert [len(group["params"]) for group in groups] == [2, 1]


def test_the_split_is_the_one_of_timm(model: nn.Module) -> None:
    spared: Callable[[], set[str]] = getattr(model, "no_weight_decay", set)
    expected = param_groups_weight_decay(model, 0.05, no_weight_decay_list=spared())
    groups = param_groups(model, weight_decay=0.05)
    assert per_parameter(groups, "weight_decay") == per_parameter(expected, "weight_decay")


def test_the_layers_learn_at_the_rates_of_timm(model: nn.Module) -> None:
    expected = param_groups_layer_decay(model, layer_decay=0.75)
    groups = param_groups(model, weight_decay=0.05, layer_decay=0.75)
    assert per_parameter(groups, "lr_scale") == per_parameter(expected, "lr_scale")
    assert groups[0]["lr_scale"] < groups[-1]["lr_scale"] == 1.0


def test_a_model_without_layers_of_its_own_gets_the_ones_that_timm_counts() -> None:
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(12)])
    model.pretrained_cfg = {"classifier": "11"}  # type: ignore[assignment]
    scales = per_parameter(param_groups(model, weight_decay=0.1, layer_decay=0.5), "lr_scale")
    # timm counts 12 tensors, six linear layers, a layer; the head is the last one.
    assert [scales[id(module.weight)] for module in model] == [*[0.25] * 6, *[0.5] * 5, 1.0]


@pytest.mark.parametrize(
    ("name", "vectors"),
    [
        ("convnext_atto", {}),  # Its layer scales have one dimension.
        ("vit_tiny_patch16_224", {}),  # It spares its token by name.
        ("resmlp_12_224", {"alpha": 25, "beta": 25}),
        ("test_nfnet", {"gain": 25}),
        ("xcit_nano_12_p16_224", {"temperature": 12}),
    ],
)
def test_vectors_that_decay_as_if_they_were_matrices_are_counted(
    name: str, vectors: dict[str, int]
) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    assert decayed_vectors(model) == vectors
    spared: Callable[[], set[str]] = getattr(model, "no_weight_decay", set)
    theirs = param_groups_weight_decay(model, 0.05, no_weight_decay_list=spared())
    decays = per_parameter(theirs, "weight_decay")
    found = [n for n, p in model.named_parameters() if n.rpartition(".")[2] in vectors]
    assert len(found) >= sum(vectors.values())
    parameters = dict(model.named_parameters())
    assert sum(decays[id(parameters[n])] > 0 for n in found) == sum(vectors.values())


def test_weights_of_layers_are_no_vectors_whatever_their_shape() -> None:
    model = nn.Sequential(nn.Linear(3, 1), nn.Conv2d(5, 5, 1, groups=5), nn.Conv1d(1, 1, 3))
    assert decayed_vectors(model) == {}
    model.scale = nn.Parameter(torch.ones(5, 1, 1))
    model.table = nn.Parameter(torch.ones(5, 2))
    assert decayed_vectors(model) == {"scale": 1}


def test_a_model_without_layers_of_its_own_is_cut_through_its_blocks() -> None:
    with torch.device("meta"):
        model = timm.create_model("poolformer_s12")
    assert not has_layers(model)
    groups = param_groups(model, weight_decay=0.1, layer_decay=0.5)
    scales = per_parameter(groups, "lr_scale")
    blocks = [
        {scales[id(p)] for p in block.parameters()}
        for name, block in model.named_modules()
        if name.count(".") == 3 and ".blocks." in name
    ]
    assert any(len(rates) > 1 for rates in blocks)


@pytest.mark.stress
@pytest.mark.timeout(3600)
def test_the_groups_of_every_architecture_are_those_of_timm() -> None:
    for name in timm.list_models():
        with torch.device("meta"):
            model = timm.create_model(name)
        spared: Callable[[], set[str]] = getattr(model, "no_weight_decay", set)
        expected = param_groups_weight_decay(model, 0.05, no_weight_decay_list=spared())
        groups = param_groups(model, weight_decay=0.05)
        decays = per_parameter(groups, "weight_decay")
        assert decays == per_parameter(expected, "weight_decay"), name
        layered = param_groups(model, weight_decay=0.05, layer_decay=0.75)
        expected = param_groups_layer_decay(model, layer_decay=0.75)
        assert per_parameter(layered, "lr_scale") == per_parameter(expected, "lr_scale"), name


def test_one_rate_for_all_is_the_default(model: nn.Module) -> None:
    groups = param_groups(model, weight_decay=0.05)
    assert [group["name"] for group in groups] == ["no_decay", "decay"]
    assert [group["lr_scale"] for group in groups] == [1.0, 1.0]


def test_the_names_of_a_compiled_model_are_the_ones_of_the_model() -> None:
    model = Planted()
    compiled = torch.compile(model)
    assert isinstance(compiled, nn.Module)
    groups = param_groups(compiled, weight_decay=0.05)
    assert names_by_decay(model, groups)[0.05] == {"linear.weight"}


def reached_by(optimizer: torch.optim.Optimizer, weight: Tensor, gradients: list[Tensor]) -> Tensor:
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


def penalized(
    optimizer: torch.optim.Optimizer, weight: Tensor, gradients: list[Tensor], penalty: float
) -> Tensor:
    """The run whose loss has ``penalty / 2 * |w|^2`` added, and whose optimizer decays nothing."""
    for gradient in gradients:
        weight.grad = gradient + penalty * weight.detach()
        optimizer.step()
    return weight.detach()


LR, DECAY = 0.1, 0.5
# Four weights of equal size whose gradients differ by factors of ten; double, to see equality.
SCALES = torch.tensor([0.1, 1.0, 10.0, 100.0], dtype=torch.float64)


def same_start() -> nn.Parameter:
    return nn.Parameter(torch.ones(4, dtype=torch.float64))


def alternating(num_steps: int) -> list[Tensor]:
    """Gradients without a direction, so that what moves a weight in the end is the decay."""
    return [SCALES * (-1) ** step for step in range(num_steps)]


def test_for_sgd_a_penalty_and_a_decay_are_the_same_update() -> None:
    gradients = alternating(7)
    weight = same_start()
    by_penalty = penalized(torch.optim.SGD([weight], lr=LR), weight, gradients, DECAY)

    decayed = torch.ones(4, dtype=torch.float64)
    for gradient in gradients:
        decayed = (1 - LR * DECAY) * decayed - LR * gradient
    torch.testing.assert_close(by_penalty, decayed, rtol=1e-12, atol=0)


def test_for_adam_a_penalty_shrinks_weights_with_large_gradients_less_than_a_decay_does() -> None:
    gradients = alternating(400)
    plain, l2, decoupled = same_start(), same_start(), same_start()
    without = reached_by(torch.optim.Adam([plain], lr=1e-3), plain, gradients)
    by_penalty = penalized(torch.optim.Adam([l2], lr=1e-3), l2, gradients, DECAY)
    adamw = torch.optim.AdamW([decoupled], lr=1e-3, weight_decay=DECAY)
    by_decay = reached_by(adamw, decoupled, gradients)

    # AdamW shrinks every weight by (1 - lr * decay) per step, whatever its gradient.
    expected = torch.full((4,), (1 - 1e-3 * DECAY) ** 400, dtype=torch.float64)
    torch.testing.assert_close(by_decay, expected, rtol=0.01, atol=0)
    # The penalty inside the gradient is divided by the gradient's own size: ten times the gradient,
    # a tenth of the shrinkage. That is docs/weight_decay.md in numbers.
    shrunk = without - by_penalty
    ratios = shrunk[1:-1] / shrunk[2:]
    assert ratios.tolist() == pytest.approx([10.0, 10.0], rel=0.2)
    assert by_penalty[0] < by_decay[0] < by_penalty[2] < by_penalty[3]
