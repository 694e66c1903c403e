"""Residual networks for large images (He et al., arXiv 1512.03385; ResNeXt: Xie et al., arXiv 1611.05431).

The layers are torchvision's, and so are the parameter names (`conv1`, `bn1`, `layer1.0.conv1`, ...), which the releases
share; there is no `fc`. The stride of a bottleneck is on its 3x3 convolution.

| name      | blocks         | features | parameters | initial convolutions                                       |
|-----------|----------------|----------|------------|------------------------------------------------------------|
| res10     | basic 1 1 1 1  | 512      | 4,905,792  | N(0, sqrt(2 / (k^2 out))) (OLTR, arXiv 1904.05160)         |
| res50     | 3 4 6 3        | 2048     | 23,508,032 | PyTorch's default, U(+-1 / sqrt(k^2 in)), as in NCL's code |
| res152    | 3 8 36 3       | 2048     | 58,143,808 | the same; usually started from ImageNet weights            |
| resnext50 | 3 4 6 3, 32x4d | 2048     | 22,979,904 | torchvision's, that of res10: no release trains it         |
"""

from torch import Tensor, nn
from torch.nn import functional as F

from longtail.models.backbones.base import BACKBONES, BackboneOptions, StagedBackbone

DEFAULT = BackboneOptions()
STAGES = ("layer1", "layer2", "layer3", "layer4")


class ImageResNet(StagedBackbone):
    """A residual network whose output is a feature map (B, D, H/32, W/32).

    Args:
        blocks: Residual blocks in each of the four stages.
        bottleneck: Blocks of three convolutions, D = 2048; False: of two, D = 512.
        groups: Groups of the 3x3 convolutions of a bottleneck.
        group_width: Channels per group in the first stage.
        default_init: Use PyTorch's default initialization of convolutions; False: Kaiming's normal one by fan-out.
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        *,
        bottleneck: bool = True,
        groups: int = 1,
        group_width: int = 64,
        default_init: bool = False,
    ) -> None:
        super().__init__()
        from torchvision.models import resnet  # takes a second; runs on small images do not need it

        block: type[resnet.BasicBlock | resnet.Bottleneck] = resnet.Bottleneck if bottleneck else resnet.BasicBlock
        whole = resnet.ResNet(block, list(blocks), num_classes=1, groups=groups, width_per_group=group_width)
        self.conv1 = whole.conv1
        self.bn1 = whole.bn1
        self.layer1 = whole.layer1
        self.layer2 = whole.layer2
        self.layer3 = whole.layer3
        self.layer4 = whole.layer4
        width = whole.fc.in_features
        self.set_stages({name: width >> shift for name, shift in zip(STAGES, (3, 2, 1, 0), strict=True)})
        if default_init:
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    module.reset_parameters()

    def stem(self, images: Tensor) -> Tensor:
        """See `StagedBackbone`."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        return F.max_pool2d(x, 3, stride=2, padding=1)


@BACKBONES.register("res10")
def res10(options: BackboneOptions = DEFAULT) -> ImageResNet:
    """Build OLTR's ResNet-10: 4,905,792 parameters, 512 features."""
    return ImageResNet((1, 1, 1, 1), bottleneck=False)


@BACKBONES.register("res50")
def res50(options: BackboneOptions = DEFAULT) -> ImageResNet:
    """Build ResNet-50: 23,508,032 parameters, 2048 features."""
    return ImageResNet((3, 4, 6, 3), default_init=True)


@BACKBONES.register("res152")
def res152(options: BackboneOptions = DEFAULT) -> ImageResNet:
    """Build ResNet-152: 58,143,808 parameters, 2048 features."""
    return ImageResNet((3, 8, 36, 3), default_init=True)


@BACKBONES.register("resnext50")
def resnext50(options: BackboneOptions = DEFAULT) -> ImageResNet:
    """Build ResNeXt-50 32x4d: 22,979,904 parameters, 2048 features."""
    return ImageResNet((3, 4, 6, 3), groups=32, group_width=4)
