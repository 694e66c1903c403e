"""ResNet-32 for 32x32 images (He et al., arXiv 1512.03385, section 4.2), as in all releases.

Three stages of n = 5 basic blocks of width 16, 32, 64; shortcuts without parameters (option A: every second pixel, the
new channels zero-padded half before and half after); no max-pooling. Convolutions start from Kaiming's normal
distribution. Parameter names are those of the releases.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from longtail.models.backbones.base import BACKBONES, BackboneOptions, StagedBackbone

DEFAULT = BackboneOptions()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut.

    Args:
        in_width: Input channels.
        width: Output channels.
        stride: Stride of the first convolution and of the shortcut.
    """

    def __init__(self, in_width: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride = stride
        self.padding = (width - in_width) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output; x is (B, in_width, H, W)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.stride > 1 or self.padding:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(out.add_(x), inplace=True)  # backward needs neither of the overwritten tensors


class CifarResNet(StagedBackbone):
    """A residual network of 6n + 2 layers whose output is a feature map (B, 64, H/4, W/4).

    Args:
        blocks: Basic blocks per stage n.
    """

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks=blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks=blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks=blocks, stride=2)
        self.set_stages({"layer1": 16, "layer2": 32, "layer3": 64})
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def stem(self, images: Tensor) -> Tensor:
        """See `StagedBackbone`."""
        return F.relu(self.bn1(self.conv1(images)), inplace=True)


def _stage(in_width: int, width: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_width, width, stride=stride)
    return nn.Sequential(first, *(BasicBlock(width, width, stride=1) for _ in range(blocks - 1)))


@BACKBONES.register("res32_cifar")
def res32_cifar(options: BackboneOptions = DEFAULT) -> CifarResNet:
    """Build ResNet-32: 463,504 parameters, 64 features."""
    return CifarResNet(blocks=5)
