"""Parameter names of CADEL, whose files hold {network entry: {name: tensor}}.

An entry and a name are joined by a dot (`longtail.models.released.flattened`). Without `module.`:

| this project                   | ResNet-50, ResNeXt-50            | ResNet-152             |
|--------------------------------|----------------------------------|------------------------|
| trunk.*                        | feat_model.* (see below)         | feat_model.*           |
| branches.K.body.convolutions.* | feat_model.aux_layerN.preBlock.* | classifierM.preBlock.* |
| branches.K.body.gates.*        | feat_model.aux_layerN.seBlock.*  | classifierM.seBlock.*  |
| branches.K.head.*              | feat_model.aux_layerN.FC.*       | classifierM.FC.*       |
| head.*                         | classifier.*                     | classifier3.*          |

| this project                   | ViT                              |
|--------------------------------|----------------------------------|
| trunk.*                        | feat_model.*                     |
| branches.K.body.blocks.*       | feat_model.aux_layerM.block_fn.* |
| branches.K.head.*              | feat_model.aux_layerM.head.*     |
| head.*                         | feat_model.head.*                |

M is K + 1. N is 2 for the first branch, and 4 (ResNet-50) or 3 (ResNeXt-50) for the second. ResNet-50 and ResNeXt-50
have each stage in two halves, layerS.layer1 and layerS.layer2, in which the first block is called 0 and block I of the
stage block_I. The norms feat_model.aux_layerM.norm.* of the ViT are never used; they have no name here.
"""

from longtail.models.released.names import NameTable

_BRANCHES = ((r"feat_model\.aux_layer2", 0), (r"feat_model\.aux_layer[34]", 1), ("classifier1", 0), ("classifier2", 1))
_PARTS = (("preBlock", "body.convolutions"), ("seBlock", "body.gates"), ("FC", "head"))
_CONV = tuple(
    (rf"{branch}\.{part}\.(.+)", rf"branches.{number}.{own}.\1") for branch, number in _BRANCHES for part, own in _PARTS
)
_TRANSFORMER = tuple(
    (rf"feat_model\.aux_layer{number + 1}\.{part}\.(.+)", rf"branches.{number}.{own}.\1")
    for number in (0, 1)
    for part, own in (("block_fn", "body.blocks"), ("head", "head"))
)
_HALVES = (
    (r"feat_model\.(layer\d)\.layer[12]\.block_(\d+)\.(.+)", r"trunk.\1.\2.\3"),
    (r"feat_model\.(layer\d)\.layer1\.0\.(.+)", r"trunk.\1.0.\2"),
    (r"feat_model\.(layer[14])\.layer2\.0\.(.+)", r"trunk.\1.1.\2"),  # of 3 blocks, the first half has 1
    (r"feat_model\.(layer2)\.layer2\.0\.(.+)", r"trunk.\1.2.\2"),  # of 4
    (r"feat_model\.(layer3)\.layer2\.0\.(.+)", r"trunk.\1.3.\2"),  # of 6
)
_HEADS = ((r"(?:classifier3?|feat_model\.head)\.(.+)", r"head.\1"),)
_TRUNK = ((r"feat_model\.(?!aux_layer)(.+)", r"trunk.\1"),)

CADEL = NameTable("CADEL", r"feat_model\.", (*_CONV, *_TRANSFORMER, *_HALVES, *_HEADS, *_TRUNK))
