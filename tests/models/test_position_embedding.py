import pytest
import torch
from torch import Tensor

from longtail.models import BACKBONES, BackboneOptions
from longtail.models.position_embedding import fitted, resample_position_embedding


def embedding(patches: int, prefix: int = 1, width: int = 64) -> Tensor:
    return torch.randn(1, prefix + patches, width, generator=torch.Generator().manual_seed(0))


def test_resample_keeps_prefix_tokens_constants_and_the_same_grid() -> None:
    values = embedding(16, prefix=2)
    assert torch.equal(resample_position_embedding(values, (7, 7), prefix=2)[:, :2], values[:, :2])
    torch.testing.assert_close(resample_position_embedding(values, (4, 4), prefix=2), values)
    constant = torch.ones(1, 17, 3)
    torch.testing.assert_close(resample_position_embedding(constant, (6, 9)), torch.ones(1, 55, 3))


def test_resample_of_rows_and_columns() -> None:
    rows = torch.arange(4.0).repeat_interleave(4)[None, :, None]  # the value of a patch is its row
    resampled = resample_position_embedding(rows, (8, 4), prefix=0).view(8, 4)
    assert torch.allclose(resampled, resampled[:, :1])
    assert (resampled[1:, 0] > resampled[:-1, 0]).all()


def test_resample_keeps_half_precision() -> None:
    assert resample_position_embedding(embedding(16).bfloat16(), (3, 3)).dtype == torch.bfloat16


def test_resample_refuses_patches_that_form_no_square() -> None:
    with pytest.raises(ValueError, match="15 patches do not form a square"):
        resample_position_embedding(embedding(15), (4, 4))


def test_fitted_changes_position_embeddings_of_another_size_only() -> None:
    model = BACKBONES.get("timm/test_vit")(BackboneOptions((32, 64)))
    fits, larger = embedding(8), embedding(16)
    assert fitted(model, "pos_embed", fits) is fits
    torch.testing.assert_close(fitted(model, "pos_embed", larger), resample_position_embedding(larger, (2, 4)))
    assert fitted(model, "patch_embed.proj.weight", larger) is larger
    for other in (embedding(15), embedding(16, width=32), torch.zeros(3)):
        assert fitted(model, "pos_embed", other) is other
    nested = torch.nn.ModuleDict({"trunk": model})
    assert fitted(nested, "trunk.pos_embed", larger).shape == (1, 9, 64)
    plain = BACKBONES.get("res32_cifar")(BackboneOptions())
    assert fitted(plain, "pos_embed", larger) is larger
