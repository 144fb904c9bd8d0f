"""Accelerators are made up: what is chosen for one is seen without having it."""

import pytest
import torch
from torch.utils._foreach_utils import _get_fused_kernels_supported_devices

from trainable import accelerator
from trainable.accelerator import CPU, GPU, KINDS, device_for, resolve
from trainable.precision import resolve_amp_dtype


def plant(monkeypatch: pytest.MonkeyPatch, found: str | None, number: int = 1) -> None:
    device = torch.device(found) if found else None

    def current(check_available: bool = False) -> torch.device | None:
        # Without the check torch names what it was built for, though the machine has none.
        return device if check_available else torch.device("cuda")

    monkeypatch.setattr(torch.accelerator, "current_accelerator", current)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: number)


@pytest.mark.parametrize("found", KINDS)
def test_a_run_with_a_gpu_goes_to_the_accelerator_of_its_machine(
    monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    plant(monkeypatch, found, number=2)
    assert accelerator.kind() == found
    assert accelerator.num_devices() == 2
    assert resolve(device_for(0.25)) == resolve(GPU) == torch.device(found)


@pytest.mark.parametrize("found", [None, "mtia", "hpu"])
def test_a_machine_without_one_that_is_used_has_none(
    monkeypatch: pytest.MonkeyPatch, found: str | None
) -> None:
    plant(monkeypatch, found)
    assert accelerator.kind() is None
    assert accelerator.num_devices() == 0
    with pytest.raises(RuntimeError, match="torch finds none that it can use"):
        resolve(GPU)


def test_devices_and_their_names_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "cuda")
    assert device_for(0.0) == CPU
    assert resolve(CPU) == torch.device("cpu")
    assert resolve(torch.device("meta")) == resolve("meta") == torch.device("meta")


@pytest.mark.parametrize(
    ("device", "in_hardware", "dtype"),
    [
        ("cuda", True, torch.bfloat16),
        ("cuda", False, torch.float16),
        ("xpu", True, torch.bfloat16),
        ("xpu", False, None),
        ("mps", True, None),
    ],
)
def test_auto_precision_is_what_the_device_has(
    monkeypatch: pytest.MonkeyPatch, device: str, in_hardware: bool, dtype: torch.dtype | None
) -> None:
    for module in (torch.cuda, torch.xpu):
        monkeypatch.setattr(
            module,
            "is_bf16_supported",
            lambda including_emulation: including_emulation or in_hardware,
        )
    assert resolve_amp_dtype("auto", torch.device(device)) is dtype


@pytest.mark.parametrize("device", [CPU, *KINDS])
def test_torch_has_fused_optimizers_on_each_of_them(device: str) -> None:
    assert device in _get_fused_kernels_supported_devices()
