"""GANDiffFace: synthetic people.

Source: Melzi et al., "GANDiffFace: Controllable Generation of Synthetic Datasets for Face
Recognition with Realistic Variations", ICCV Workshops 2023.
"""

from pathlib import Path
from typing import Any

from data_pipelines.databases.image_folder import ImageFolder


class GANDiffFace(ImageFolder):
    """The images of GANDiffFace: a folder for each person, within folders of demographic groups."""

    def __init__(self, folder: str | Path, **preparation: Any):
        """Lists the folder as `ImageFolder` does, and raises what it raises."""
        super().__init__(folder, **preparation)
        self.database = "gandiffface"
