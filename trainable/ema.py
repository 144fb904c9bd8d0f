"""Several exponential moving averages of one run's weights at once.

An average never acts back on the run it follows. One run can therefore carry as many decays as an
experiment compares, and those runs differ in nothing but the decay.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from spaces.errors import InputError

OWN = "own"
"""Name of the average with the recipe's own decay."""


class EmaBank:
    """Averages of a model's weights, one per name, each with its own decay.

    An update does ``average = decay * average + (1 - decay) * weight`` for every parameter and
    every floating buffer (BatchNorm's statistics belong to the weights they were measured with),
    and copies integer buffers. After ``n`` updates the average is

        decay^n w_0 + (1 - decay) * sum_k decay^(n-k) w_k,   k = 1..n

    with no correction for the start ``w_0``: on a short run a long window is mostly start, which is
    what this project measures. A decay of 0 means the raw weights, and keeps no copy.

    Call `update` after an optimizer step that was taken, and not after one that was skipped.
    """

    def __init__(self, model: nn.Module, decays: Mapping[str, float]) -> None:
        """Start every average at the weights that ``model`` has now.

        Args:
            model: The model to follow, compiled or not.
            decays: Decay per optimizer step by name, each in ``[0, 1)``.

        Raises:
            InputError: If a decay lies outside ``[0, 1)``.
        """
        self._model = _unwrapped(model)
        self._slots = _slots(self._model)
        self._num_vectors = sum(_is_vector(tensor) for tensor in self._live())
        self._num_floating = sum(tensor.is_floating_point() for tensor in self._live())
        self._decays: dict[str, float] = {}
        # The vectors of each average lie in one tensor, of which its entries here are views.
        self._vectors: dict[str, Tensor] = {}
        self._averages: dict[str, list[Tensor]] = {}
        self.set_decays(decays)

    @property
    def decays(self) -> dict[str, float]:
        """Decay per optimizer step by name."""
        return dict(self._decays)

    @torch.no_grad()
    def set_decays(self, decays: Mapping[str, float]) -> None:
        """Change the decays, for the next trial of a model that is kept.

        An average with a known name continues from its present value; a new one starts at the
        present weights.

        Raises:
            InputError: If a decay lies outside ``[0, 1)``.
        """
        for name, decay in decays.items():
            if not 0.0 <= decay < 1.0:
                raise InputError(f"`0 <= ema_decay < 1` must hold, but got {decay!r} for {name!r}.")
        self._decays = dict(decays)
        averaged_names = [name for name, decay in decays.items() if decay > 0.0]
        for name in [known for known in self._averages if known not in averaged_names]:
            del self._averages[name], self._vectors[name]
        for name in averaged_names:
            if name not in self._averages:
                self._start(name)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move every average towards the weights after an optimizer step that was taken.

        Raises:
            ValueError: If ``model`` is not the one that the bank was made for.
        """
        if _unwrapped(model) is not self._model:
            raise ValueError("`update` must get the model that the bank was made for.")
        if not self._averages:
            return
        live = self._live()
        larger = slice(self._num_vectors, self._num_floating)
        integer = slice(self._num_floating, None)
        # On a CPU two hundred vectors of BatchNorm cost one call each otherwise, 2 % of a step.
        vectors = _joined(live[: self._num_vectors])
        for name, average in self._averages.items():
            # The weight is an argument of the kernel and part of no graph: a new decay is free.
            weight = 1.0 - self._decays[name]
            self._vectors[name].lerp_(vectors, weight)
            if average[larger]:
                torch._foreach_lerp_(average[larger], live[larger], weight)
            if average[integer]:
                torch._foreach_copy_(average[integer], live[integer])

    @contextmanager
    def averaged(self, name: str) -> Iterator[None]:
        """Put the average ``name`` into the model inside the ``with``, and the raw weights back.

        Storages change places, nothing is copied. What is written to the model inside the ``with``
        (recomputed BatchNorm statistics, say) is written to the average. Code that has noted the
        addresses of the weights, such as a captured CUDA graph, still reads the raw ones.

        Raises:
            KeyError: If no average has this name.
        """
        if self._decays[name] == 0.0:
            yield
            return
        self._swap(name)
        try:
            yield
        finally:
            self._swap(name)

    def state_dict(self) -> dict[str, Any]:
        """Return decays and averages, loadable with ``weights_only=True``."""
        names = [slot_name for slot_name, _, _ in self._slots]
        return {
            "decays": self.decays,
            "averages": {
                name: dict(zip(names, average, strict=True))
                for name, average in self._averages.items()
            },
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state of `state_dict`, decays included.

        Raises:
            KeyError: If the state lacks a tensor of this model.
        """
        self.set_decays(state["decays"])
        for name, average in self._averages.items():
            saved = state["averages"][name]
            for (slot_name, _, _), tensor in zip(self._slots, average, strict=True):
                tensor.copy_(saved[slot_name])

    def _start(self, name: str) -> None:
        live = self._live()
        vectors = live[: self._num_vectors]
        self._vectors[name] = _joined(vectors)
        views = torch.split(self._vectors[name], [len(vector) for vector in vectors])
        self._averages[name] = [*views, *(t.clone() for t in live[self._num_vectors :])]

    def _live(self) -> list[Tensor]:
        """Return the model's present tensors, without a walk through the module tree at every step.

        Not detached, which would cost as much again: callers run without gradients.
        """
        return [tensors[leaf] for _, tensors, leaf in self._slots]

    def _swap(self, name: str) -> None:
        average = self._averages[name]
        for i, tensor in enumerate(self._live()):
            tensor.data, average[i] = average[i], tensor.data


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the module that `torch.compile` wrapped, so that names are the model's own."""
    return getattr(model, "_orig_mod", model)


def _slots(model: nn.Module) -> list[tuple[str, dict[str, Tensor], str]]:
    """Locate each parameter and buffer: full name, its module's dictionary, key in it.

    An attribute of a module is looked up in Python, which costs ten times as much.

    Vectors come first, then the other floating ones. Tied weights appear once: they would be
    averaged, and swapped, twice.
    """
    named = [*model.named_parameters(), *model.named_buffers()]
    named.sort(key=lambda item: (not _is_vector(item[1]), not item[1].is_floating_point()))
    slots = []
    for full_name, _ in named:
        path, _, leaf = full_name.rpartition(".")
        owner = model.get_submodule(path)
        tensors = owner._parameters if leaf in owner._parameters else owner._buffers
        slots.append((full_name, cast(dict[str, Tensor], tensors), leaf))
    return slots


def _is_vector(tensor: Tensor) -> bool:
    return tensor.ndim == 1 and tensor.dtype is torch.float32


def _joined(vectors: list[Tensor]) -> Tensor:
    """Concatenate copies of vectors; without any, return one of length 0."""
    return torch.cat(vectors) if vectors else torch.empty(0)
