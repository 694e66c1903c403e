"""ResNet-32 for 32x32 images (He et al., arXiv 1512.03385, section 4.2), as both releases use it.

Three stages of n = 5 basic blocks of width 16, 32, 64; shortcuts without parameters (option A: every second pixel, the
missing channels filled with zeros on both sides); no max-pooling. Convolutions start from Kaiming's normal
distribution. Parameter names are those of the releases.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from longtail.models.backbones import BACKBONES, Backbone


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut.

    Args:
        in_width: channels that come in.
        width: channels that go out.
        stride: of the first convolution and of the shortcut.
    """

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride = stride
        self.padding = (width - in_width) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output; x: (B, in_width, H, W)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.stride > 1 or self.padding:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(out.add_(x), inplace=True)  # no backward pass needs what it overwrites


class CifarResNet(Backbone):
    """A residual network of 6n + 2 layers whose output is a feature map (B, 64, H/4, W/4).

    Args:
        blocks: n, basic blocks per stage.
    """

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, stride=1)
        self.layer2 = self._stage(16, 32, blocks, stride=2)
        self.layer3 = self._stage(32, 64, blocks, stride=2)
        self.out_features = 64
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    @staticmethod
    def _stage(in_width: int, width: int, blocks: int, stride: int) -> nn.Sequential:
        first = BasicBlock(in_width, width, stride)
        return nn.Sequential(first, *(BasicBlock(width, width, 1) for _ in range(blocks - 1)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature map of images (B, 3, H, W)."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = self.layer1(x)
        x = self.layer2(x)
        return self.layer3(x)


@BACKBONES.register("res32_cifar")
def res32_cifar() -> CifarResNet:
    """Build ResNet-32: 463,504 parameters, 64 features."""
    return CifarResNet(blocks=5)
