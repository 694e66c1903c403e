import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.models import BACKBONES, BackboneOptions
from longtail.models.position_embedding import fitted
from tests.helpers.networks import position_embedded


def embedding(patches: int, prefix: int = 1, width: int = 64) -> Tensor:
    return torch.randn(1, prefix + patches, width, generator=torch.Generator().manual_seed(0))


def resampled(value: Tensor, grid: tuple[int, int], *, prefix: int = 1) -> Tensor:
    shape = (1, prefix + grid[0] * grid[1], value.shape[-1])
    return fitted(position_embedded(grid, shape, prefix=prefix), "pos_embed", value)


def test_fitted_keeps_prefix_tokens_and_constants() -> None:
    values = embedding(16, prefix=2)
    assert torch.equal(resampled(values, (7, 7), prefix=2)[:, :2], values[:, :2])
    torch.testing.assert_close(resampled(torch.ones(1, 17, 3), (6, 9)), torch.ones(1, 55, 3))


def test_fitted_interpolates_rows_and_columns_bicubically() -> None:
    rows = torch.arange(4.0).repeat_interleave(4)[None, :, None]  # the value of a patch is its row
    found = resampled(rows, (8, 4), prefix=0).view(8, 4)
    assert torch.allclose(found, found[:, :1])
    wanted = F.interpolate(torch.arange(4.0).repeat(4, 1).T[None, None], size=(8, 4), mode="bicubic")[0, 0]
    torch.testing.assert_close(found, wanted)


def test_fitted_does_not_smooth_a_reduced_grid() -> None:
    checkered = ((torch.arange(6)[:, None] + torch.arange(6)) % 2).float()
    wanted = F.interpolate(checkered[None, None], size=(3, 3), mode="bicubic").view(1, 9, 1)
    torch.testing.assert_close(resampled(checkered.view(1, 36, 1), (3, 3), prefix=0), wanted)


def test_fitted_keeps_half_precision() -> None:
    assert resampled(embedding(16).bfloat16(), (3, 3)).dtype == torch.bfloat16


def test_fitted_changes_position_embeddings_of_another_size_only() -> None:
    model = BACKBONES.get("timm/test_vit")(BackboneOptions((32, 64)))
    fits, larger = embedding(8), embedding(16)
    assert fitted(model, "pos_embed", fits) is fits
    assert fitted(model, "pos_embed", larger).shape == (1, 9, 64)
    assert fitted(model, "patch_embed.proj.weight", larger) is larger
    for other in (embedding(15), embedding(16, width=32), torch.zeros(3)):
        assert fitted(model, "pos_embed", other) is other
    nested = torch.nn.ModuleDict({"trunk": model})
    assert fitted(nested, "trunk.pos_embed", larger).shape == (1, 9, 64)
    plain = BACKBONES.get("res32_cifar")(BackboneOptions())
    assert fitted(plain, "pos_embed", larger) is larger
