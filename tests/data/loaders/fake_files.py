"""Image files that are read from a tensor."""

from typing import Any

from longtail.data.images.files import ImageFiles


class FakeFiles(ImageFiles):
    """Image files whose pixels come from a tensor."""

    def __init__(self, images: Any) -> None:
        super().__init__([f"{number}.png" for number in range(len(images))])
        self.images = images

    def __getitem__(self, index: Any) -> Any:
        return self.images[index]
