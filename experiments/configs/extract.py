"""Activations of a network for all images of a source: `experiments.extract`.

`audited` is an .onnx file, a folder of a model, or "embedded"; `images` a source: a folder of
images, a `.rec` prefix, a `.bin` pack, or `tfds:NAME`. `layers` are those of the model where none
is named, and the outcome of the `views` of a photo, which the fused auditor compares; views=
leaves them out and halves the work, and `tables` then takes --config.views="()". `reduce=map`
keeps whole activation maps, `max` their spatial maxima; `dtype=bfloat16` halves the store.

    python -m experiments.extract --workdir=runs/glint --config=experiments/configs/extract.py:\
audited=FILE,images=SOURCE[,layers=conv1;outcome][,views=][,reduce=map][,dtype=bfloat16]\
[,align=always][,detector=FILE][,quality=90]

A specification that holds commas is given as --config.audited=SPEC.
"""

from ml_collections import ConfigDict

from experiments.configs import common


def get_config(arg: str | None = None) -> ConfigDict:
    """Keys of `arg`: audited, images, layers, views, reduce, dtype, align, detector, quality."""
    args = common.parse(
        arg,
        audited="",
        images="",
        layers=("",),
        views=("flip",),
        reduce="max",
        dtype="float32",
        align="auto",
        detector="",
        quality=0,
    )
    config = ConfigDict(args)
    config.antialias = True  # False: large photos are cut as InsightFace cut its training sets
    config.store = ""  # folder or URL (gs://, s3://) of the store; WORKDIR/aad where empty
    config.per_device_batch = 64  # a store keeps to its own: another changes the last bits
    config.workers = 0  # Grain processes; 0 decodes in threads, which is faster for one machine
    return config
