"""Shuffling batch norm: with several processes, the keys of a batch are not normalized together.

Batch statistics reveal which samples were normalized together, and a network can learn to use them to find the right
key (He et al., arXiv 1911.05722, section 3.3). So the images of all processes are shuffled for the key encoder. With
one process this would have no effect and is skipped: the keys are one batch, also under DataParallel, which only splits
the queries.
"""

import torch
from torch import Tensor, nn

from longtail.distributed.gathering import all_rows, rank_and_size


class Shuffle(nn.Module):
    """Scatters images over the processes, and gathers the keys in the order of the images.

    All processes draw the same permutations from generators in the same state, so permutations are not sent. The state
    is part of the `state_dict`.

    Args:
        seed: The same in all processes.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def encode(self, encoder: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys of this process's images, (E, B, P), and those of all processes, (E, processes * B, P).

        Args:
            encoder: Images to keys, (E, B, P).
            images: Images of this process, (B, 3, H, W); B is the same in all processes.
        """
        shuffled, permutation = self.scatter(images)
        return self.gather(encoder(shuffled), permutation)

    def scatter(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the images whose keys this process computes, and the permutation that chose them.

        Args:
            images: Images of this process, (B, 3, H, W); B is the same in all processes.
        """
        rank, size = rank_and_size()
        if size == 1:
            return images, None
        number = len(images)
        permutation = torch.randperm(size * number, generator=self.generator).to(images.device, non_blocking=True)
        own = permutation[rank * number : (rank + 1) * number]
        channels_last = images.is_contiguous(memory_format=torch.channels_last)
        shuffled = all_rows(images)[own]
        return shuffled.contiguous(memory_format=torch.channels_last) if channels_last else shuffled, permutation

    def gather(self, keys: Tensor, permutation: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the keys of this process's images, (E, B, P), and those of all processes, (E, processes * B, P).

        Args:
            keys: Keys of the shuffled images, (E, B, P).
            permutation: Permutation from `scatter`.
        """
        if permutation is None:
            return keys, keys
        rank, _ = rank_and_size()
        number = keys.shape[1]
        all_keys = all_rows(keys.transpose(0, 1))[permutation.argsort()].transpose(0, 1)
        return all_keys[:, rank * number : (rank + 1) * number], all_keys

    def get_extra_state(self) -> Tensor:
        """Return the state of the generator."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Set the state of the generator."""
        self.generator.set_state(state.cpu())
