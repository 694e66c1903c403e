"""Rows of all processes, with gradients: for losses that compare the samples of a batch with each other.

A batch of B samples is distributed over n processes, B / n samples each. Let L_r be the mean over the samples of
process r and L = mean_r L_r the loss of the whole batch. `gather` returns the rows of all processes to each process;
its backward pass sums the gradients of all processes for a row, so the process that owns the row gets d(sum_r L_r) = n
dL. DistributedDataParallel averages the gradients of the parameters over the processes, which removes the factor n: n
processes with B / n samples each train like one process with B. Every process must call both functions, with equal
shapes.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


def rank_and_size() -> tuple[int, int]:
    """Return the rank of this process and the number of processes; (0, 1) outside a process group."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def all_rows(rows: Tensor) -> Tensor:
    """Return the rows of all processes, in the order of their ranks, without gradients."""
    rows = rows.contiguous()
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows)
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    """All-gather along the first dimension; backward: the gradients of this process's rows, summed over processes."""

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor) -> Tensor:
        return all_rows(rows)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        rank, world = rank_and_size()
        gradient = gradient.clone(memory_format=torch.contiguous_format)  # the reduction is in place
        dist.all_reduce(gradient)
        return gradient.chunk(world)[rank]


class _Average(torch.autograd.Function):
    """Mean over the processes; backward: the identity."""

    @staticmethod
    def forward(ctx: FunctionCtx, loss: Tensor) -> Tensor:
        total = loss.clone()
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return gradient


def gather(rows: Tensor) -> Tensor:
    """Return the rows of all processes, in the order of their ranks, (n * B, ...); with one process its own rows.

    Args:
        rows: Rows of this process, (B, ...); B is the same in all processes.
    """
    _, world = rank_and_size()
    return rows if world == 1 else _Gather.apply(rows)


def average(value: Tensor) -> Tensor:
    """Return the mean over the processes, the same in all of them; gradients are those of this process's value.

    Args:
        value: A loss (mean over the samples of this process), a sum of weights, or a tensor of such numbers.
    """
    _, world = rank_and_size()
    return value if world == 1 else _Average.apply(value)
