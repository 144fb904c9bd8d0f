"""Several averages of one run, against the sum written out in full."""

import copy
import io
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spaces.errors import InputError
from trainable.ema import EmaBank

DECAYS = {"short": 0.5, "long": 0.99, "none": 0.0}


class Tiny(nn.Module):
    """Weights, a tied weight, floating and integer buffers, one of them not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.tied = nn.Linear(3, 3, bias=False)
        self.tied.weight = self.linear.weight
        self.register_buffer("unsaved", torch.zeros(2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.tied(self.norm(self.linear(x)))
        return out


def states(model: nn.Module, num_steps: int) -> Iterator[dict[str, Tensor]]:
    """Put ``model`` through steps of noise; yield all its tensors after each."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(num_steps):
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator))
            else:
                tensor.add_(1)
        yield snapshot(model)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in named}


def written_out(history: list[dict[str, Tensor]], decay: float) -> dict[str, Tensor]:
    """``d^n w_0 + (1 - d) sum_k d^(n-k) w_k``, in double; the last value for integers."""
    n = len(history) - 1
    average = {}
    for name, last in history[-1].items():
        if last.is_floating_point():
            total = decay**n * history[0][name].double()
            for k in range(1, n + 1):
                total = total + (1 - decay) * decay ** (n - k) * history[k][name].double()
            average[name] = total.float()
        else:
            average[name] = last
    return average


def assert_same(
    actual: dict[str, Tensor],
    expected: dict[str, Tensor],
    *,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> None:
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=rtol, atol=atol, msg=name)


def assert_equal(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert_same(actual, expected, rtol=0.0, atol=0.0)


def a_bank_after(num_steps: int) -> tuple[Tiny, EmaBank, list[dict[str, Tensor]]]:
    torch.manual_seed(0)
    model = Tiny()
    bank = EmaBank(model, DECAYS)
    history = [snapshot(model)]
    for state in states(model, num_steps):
        bank.update(model)
        history.append(state)
    return model, bank, history


def test_each_average_is_the_sum_written_out() -> None:
    model, bank, history = a_bank_after(30)
    for name, decay in DECAYS.items():
        with bank.averaged(name):
            assert_same(snapshot(model), written_out(history, decay))
            assert model.tied.weight is model.linear.weight


def test_an_average_that_was_never_updated_is_the_start() -> None:
    model, bank, history = a_bank_after(0)
    list(states(model, 3))
    with bank.averaged("long"):
        assert_equal(snapshot(model), history[0])


def test_a_step_without_an_update_leaves_every_average_bit_for_bit() -> None:
    model, bank, _ = a_bank_after(5)
    before = copy.deepcopy(bank.state_dict())
    list(states(model, 1))  # The weights may be anything after a step that was skipped.
    after = bank.state_dict()
    for name, average in before["averages"].items():
        assert_equal(after["averages"][name], average)


def test_a_run_with_averages_is_the_run_without() -> None:
    followed, _, _ = a_bank_after(7)
    torch.manual_seed(0)
    alone = Tiny()
    list(states(alone, 7))
    assert_equal(snapshot(followed), snapshot(alone))


def test_the_weights_come_back_bit_for_bit_and_at_the_same_address() -> None:
    model, bank, history = a_bank_after(5)
    addresses = [parameter.data_ptr() for parameter in model.parameters()]
    with bank.averaged("short"):
        assert [parameter.data_ptr() for parameter in model.parameters()] != addresses
    assert [parameter.data_ptr() for parameter in model.parameters()] == addresses
    assert_equal(snapshot(model), history[-1])


def test_the_weights_come_back_after_an_error_inside() -> None:
    model, bank, history = a_bank_after(5)
    with pytest.raises(RuntimeError, match="evaluation failed"), bank.averaged("short"):
        raise RuntimeError("evaluation failed")
    assert_equal(snapshot(model), history[-1])
    with bank.averaged("short"):
        assert_same(snapshot(model), written_out(history, 0.5))


def test_training_goes_on_with_the_weights_that_the_optimizer_knows() -> None:
    model, bank, _ = a_bank_after(5)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with bank.averaged("long"), torch.no_grad():
        model.eval()(torch.ones(4, 3))
    before = model.linear.bias.detach().clone()
    model.linear.bias.grad = torch.ones(3)
    optimizer.step()
    torch.testing.assert_close(model.linear.bias.detach(), before - 1.0)


def test_what_is_written_to_the_model_inside_is_kept_by_the_average_and_not_by_the_run() -> None:
    model, bank, history = a_bank_after(5)
    with bank.averaged("long"):
        model.norm.get_buffer("running_mean").fill_(7.0)
    assert_equal(snapshot(model), history[-1])
    with bank.averaged("long"):
        assert model.norm.get_buffer("running_mean").tolist() == [7.0] * 3


def test_a_decay_of_zero_keeps_no_copy_and_is_the_raw_weights() -> None:
    model, bank, history = a_bank_after(5)
    assert "none" not in bank.state_dict()["averages"]
    with bank.averaged("none"):
        assert_equal(snapshot(model), history[-1])


def test_an_unknown_average_is_refused() -> None:
    _, bank, _ = a_bank_after(0)
    with pytest.raises(KeyError, match="best"), bank.averaged("best"):
        pass


def test_the_bank_of_a_compiled_model_follows_the_model() -> None:
    model = Tiny()
    compiled = torch.compile(model, backend="eager")
    assert isinstance(compiled, nn.Module)
    bank = EmaBank(compiled, {"short": 0.5})
    start = snapshot(model)
    for _ in states(model, 1):
        bank.update(compiled)
        bank.update(model)
    assert set(bank.state_dict()["averages"]["short"]) == set(start)
    model.eval()
    batch = torch.rand(4, 3)
    with torch.no_grad():
        raw = compiled(batch).clone()
        with bank.averaged("short"):
            torch.testing.assert_close(compiled(batch), model(batch))
            assert not torch.allclose(compiled(batch), raw)
        assert torch.equal(compiled(batch), raw)


def test_a_bank_refuses_to_follow_another_model() -> None:
    _, bank, _ = a_bank_after(0)
    with pytest.raises(ValueError, match="the model that the bank was made for"):
        bank.update(Tiny())


def test_a_model_moved_after_the_bank_was_made_is_still_followed() -> None:
    model = Tiny()
    bank = EmaBank(model, {"short": 0.5})
    model.double().float()  # Replaces every buffer, as a move to a device does.
    start = snapshot(model)
    (state,) = states(model, 1)
    bank.update(model)
    with bank.averaged("short"):
        assert_same(snapshot(model), written_out([start, state], 0.5))


def saved_and_loaded(state: dict[str, Any]) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_a_restored_bank_goes_on_bit_for_bit() -> None:
    model, bank, _ = a_bank_after(5)
    other = copy.deepcopy(model)
    restored = EmaBank(other, {})
    restored.load_state_dict(saved_and_loaded(bank.state_dict()))
    for _ in states(model, 3):
        bank.update(model)
    for _ in states(other, 3):
        restored.update(other)
    assert restored.decays == DECAYS
    for name, average in bank.state_dict()["averages"].items():
        assert_equal(restored.state_dict()["averages"][name], average)


def test_a_state_of_another_model_is_refused() -> None:
    _, bank, _ = a_bank_after(1)
    other = EmaBank(nn.Linear(2, 2), {})
    with pytest.raises(KeyError, match="bias"):
        other.load_state_dict(bank.state_dict())


def test_new_decays_keep_the_averages_they_know_and_start_the_others_now() -> None:
    model, bank, history = a_bank_after(4)
    bank.set_decays({"short": 0.9, "best": 0.99})
    with bank.averaged("short"):
        assert_same(snapshot(model), written_out(history, 0.5))
    with bank.averaged("best"):
        assert_equal(snapshot(model), history[-1])
    assert bank.decays == {"short": 0.9, "best": 0.99}
    (state,) = states(model, 1)
    bank.update(model)
    with bank.averaged("best"):
        expected = written_out([history[-1], state], 0.99)
        assert_same(snapshot(model), expected)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5, math.nan, math.inf])
def test_a_decay_outside_its_interval_is_refused_by_name(decay: float) -> None:
    with pytest.raises(InputError, match=r"`0 <= ema_decay < 1` must hold, but got .* for 'best'"):
        EmaBank(Tiny(), {"best": decay})


def test_a_model_without_vectors_is_averaged_too() -> None:
    model = nn.Linear(2, 2, bias=False)
    bank = EmaBank(model, {"half": 0.5})
    before = model.weight.detach().clone()
    model.weight.data.add_(1.0)
    bank.update(model)
    with bank.averaged("half"):
        torch.testing.assert_close(model.weight.detach(), before + 0.5)
