"""Parameter names of Bag of Tricks: one expert, `backbone.*` and `classifier.*`."""

from longtail.models.released.names import NameTable

BAG_OF_TRICKS = NameTable(
    "Bag of Tricks",
    r"(backbone|classifier)\.[a-z]",
    ((r"backbone\.(.+)", r"experts.0.backbone.\1"), (r"classifier\.(.+)", r"experts.0.head.\1")),
)
