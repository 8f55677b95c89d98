"""What each baseline is called, and what it must be given: only equal access is compared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Baseline:
    """A published membership score that an auditor is compared with.

    Attributes:
      name: key in results.
      title: for people.
      access: what it reads beside the photo: "embedding" (what the network says of any photo),
        "weights", "head" (the class centres that training leaves behind), "reference models" (of
        the same recipe, whose members are known), or "head and reference models".
    """

    name: str
    title: str
    access: str


BASELINES = {
    baseline.name: baseline
    for baseline in (
        Baseline("norm", "length of the embedding", "embedding"),
        Baseline("flip", "agreement between a photo and its mirror image", "embedding"),
        Baseline("jitter", "agreement between a photo and its small shifts", "embedding"),
        Baseline("quantile", "threshold of each photo, by quantile regression", "embedding"),
        Baseline("bn_distance", "distance to the statistics of the BatchNorms", "weights"),
        Baseline("nearest_centre", "cosine to the nearest class centre", "head"),
        Baseline("own_centre", "cosine to the centre of the photo's own class", "head"),
        Baseline("lira_online", "LiRA, models with and without the photo", "reference models"),
        Baseline("lira_offline", "LiRA, models without the photo", "reference models"),
        Baseline("rmia", "RMIA, models without the photo", "reference models"),
        Baseline("lira_margin", "LiRA on the own-class margin", "head and reference models"),
    )
}
