"""The processes that adapt one reader together: `accelerate launch`, or tasks of one SLURM job."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor


class Peers:
    """This process among `world`; rank 0 writes.

    Processes that do not know of each other (no RANK and WORLD_SIZE in the environment) are alone.
    """

    def __init__(self, cpu: bool) -> None:
        self.rank, self.world = 0, 1
        self._state: Any = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            self._state = PartialState(cpu=cpu)
            self.rank, self.world = self._state.process_index, self._state.num_processes

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace floating tensors, the same ones in every process, by their means in place."""
        chosen = [tensor for tensor in tensors if tensor.is_floating_point()]
        if self.world == 1 or not chosen:
            return
        from accelerate.utils import reduce

        flat = torch.cat([tensor.detach().float().flatten() for tensor in chosen])
        self._put(chosen, reduce(flat, reduction="mean"))

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Replace floating tensors, the same ones in every process, by their sums in place."""
        chosen = list(tensors)
        self.average(chosen)
        for tensor in chosen:
            tensor.mul_(self.world)

    def follow(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of rank 0, in place."""
        chosen = list(tensors)
        if self.world == 1 or not chosen:
            return
        from accelerate.utils import broadcast

        for tensor in chosen:
            tensor.copy_(broadcast(tensor.detach().clone()))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in one of the processes."""
        if self.world == 1:
            return flag
        from accelerate.utils import reduce

        count = torch.tensor(float(flag), device=self._state.device)
        return bool(reduce(count, reduction="sum") > 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self._state is not None:
            self._state.wait_for_everyone()

    @staticmethod
    def _put(tensors: Sequence[Tensor], flat: Tensor) -> None:
        at = 0
        for tensor in tensors:
            part = flat[at : at + tensor.numel()].view_as(tensor)
            tensor.detach().copy_(part)
            at += tensor.numel()
