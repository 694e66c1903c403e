"""Image files that are none."""

from longtail.data.images.files import ImageFiles


class Files(ImageFiles):
    """Stands for image files: what is decoded comes from memory."""

    def __init__(self, images):
        super().__init__([f"{number}.png" for number in range(len(images))])
        self.images = images

    def __getitem__(self, index):
        return self.images[index]
