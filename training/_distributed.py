"""Training with several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from prunnet_export._errors import InvalidInput, PeerFailed, PrunnetError, Unreachable

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_BUCKET = 2**23  # elements; large enough for a fast transfer, and small compared to the gradients


@dataclass(frozen=True)
class Ranks:
    """The numbers of this process in a group that trains together through :mod:`torch.distributed`.

    Attributes:
        rank: Number of this process. Process 0 writes and prints for all.
        world_size: Number of processes.
        local_rank: Number of this process on its machine, and of its GPU.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks. All ranks get the same bits.

        Raises:
            Unreachable: a process ended.
        """
        if self.world_size == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            self._reduce(flat, distributed.ReduceOp.SUM)
            flat /= self.world_size
            start = 0
            for tensor in bucket:
                tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
                start += tensor.numel()

    @contextmanager
    def sharing_failures(self) -> Iterator[None]:
        """Wait at the end until all ranks are there; if one of them failed inside, all raise an error.

        Inside, a rank must not wait for another one.

        Raises:
            PrunnetError: this is the lowest rank that failed, and this is its error.
            PeerFailed: another rank failed.
            Unreachable: a process ended.
        """
        if self.world_size == 1:
            yield
            return
        failure = None
        try:
            yield
        except PrunnetError as error:
            failure = error
        lowest = torch.tensor(self.world_size if failure is None else self.rank)
        try:
            self._reduce(lowest, distributed.ReduceOp.MIN)
        except Unreachable as lost:
            raise failure or lost from None
        if failure is not None and lowest == self.rank:
            raise failure
        if lowest < self.world_size:
            raise PeerFailed(f"process {int(lowest)} of {self.world_size} failed", hint="see its own error line")

    def _reduce(self, tensor: Tensor, operation: distributed.ReduceOp.RedOpType) -> None:
        try:
            distributed.all_reduce(tensor, operation)
        except RuntimeError as error:
            raise Unreachable(
                f"process {self.rank} of {self.world_size} lost another one of the group",
                hint="see how that one ended; then repeat the same command with --resume",
            ) from error


ALONE = Ranks()


@contextmanager
def process_group() -> Iterator[Ranks]:
    """Join the process group that the environment variables of ``torchrun`` describe.

    Gradients on the CPU are sent by gloo, those on GPUs by nccl. If ``WORLD_SIZE`` is missing or 1, there is no group.

    Raises:
        InvalidInput: the variables are incomplete or contradict each other.
        Unreachable: the other processes do not answer.
    """
    ranks = ranks_of_environment()
    if ranks.world_size == 1:
        yield ranks
        return
    # Tensors on the CPU, such as the number of a rank that failed, need gloo even if the gradients are on GPUs.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        distributed.init_process_group(backend, rank=ranks.rank, world_size=ranks.world_size)
    except (RuntimeError, ValueError) as error:
        address = ":".join(os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT"))
        raise Unreachable(
            f"process {ranks.rank} of {ranks.world_size} cannot join the others at {address}",
            hint="start them by torchrun; --debug shows what the network says",
        ) from error
    yield ranks
    distributed.destroy_process_group()  # not after an error, because it can wait for a process that ended


def ranks_of_environment() -> Ranks:
    """The numbers of this process, as ``torchrun`` sets them, or those of a process that is alone.

    Raises:
        InvalidInput: the variables are incomplete or contradict each other.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return ALONE
    values = {name: os.environ.get(name, "") for name in _VARIABLES}
    numbers = [values["RANK"], values["WORLD_SIZE"], os.environ.get("LOCAL_RANK", values["RANK"])]
    if all(values.values()) and all(number.isdecimal() for number in numbers):
        rank, world_size, local_rank = map(int, numbers)
        if rank < world_size:
            return Ranks(rank, world_size, local_rank)
    shown = ", ".join(f"{name}={value}" for name, value in values.items())
    raise InvalidInput(
        f"the environment does not say which of the processes this is ({shown})",
        hint="start them by torchrun, or unset WORLD_SIZE to train with one",
    )


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in order, in groups of one dtype with at most ``_BUCKET`` elements or one tensor."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.numel() > _BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel()
    if bucket:
        yield bucket
