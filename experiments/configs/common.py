"""What the configurations of `experiments.tables` share."""

from ml_collections import ConfigDict

from mint_jax.errors import InputError


def parse(arg: str | None, **known: object) -> dict:
    """Reads `key=value,key=value` after a configuration's name, as big_vision's configs do.

    Args:
      arg: the text behind the colon of `--config=FILE:arg`, or None.
      **known: every key with its default; a tuple of numbers is given as `1;2;3`.

    Raises:
      InputError: a key that is not known, or a value of another type than its default.
    """
    values = dict(known)
    for item in filter(None, (arg or "").split(",")):
        key, equals, text = item.partition("=")
        if key not in known or not equals:
            raise InputError(f"--config: {item!r} is not one of {', '.join(known)} (key=value)")
        values[key] = _convert(key, text, known[key])
    return values


def _convert(key: str, text: str, default: object) -> object:
    try:
        if isinstance(default, tuple):
            return tuple(type(default[0])(part) for part in text.split(";")) if text else ()
        return type(default)(text)
    except ValueError:
        raise InputError(f"--config: {key}={text!r} is not of the form of {default!r}") from None


def tables(sizes: tuple[int, ...]) -> ConfigDict:
    """The part of a configuration that says how many auditors of which kind are trained.

    What the paper does not publish (optimiser, rate, epochs, batch, kernel, pooling) is set here
    and is a reconstruction.
    """
    config = ConfigDict()
    config.seed = 0
    config.sizes = sizes  # training samples, half of them members
    config.seeds = 5  # auditors a cell, each with its own draw of training samples
    config.cnn_seeds = 2
    config.validation = 0.2  # share of the training samples that early stopping watches
    config.vanilla = ConfigDict()
    config.cnn = ConfigDict({"fit": {"epochs": 30, "patience": 5}})
    config.neighbour = ConfigDict()
    config.fusion = ConfigDict()
    config.views = ("flip",)  # of a photo, that the fused auditor compares: what training showed
    config.maps = "float32"  # "bfloat16": they take half the memory, rounded to 8 bits
    config.test_images = 1000  # of each class
    config.validation_images = 250  # of each class; they choose the auditor of the verdict
    config.threshold_images = 1000  # non-members, who freeze the thresholds
    config.calibration_images = 1000  # non-members, by whom the evidence of an image is weighed
    config.calibration_members = 500  # likewise, for likelihood ratios and by their unused photos
    config.bank_images = 2000  # of each class, at most; banks of auditors that compare
    config.split_by = "identity"  # or "image", where a person's images may be in several parts
    config.weights = ()  # of the externals, relative; alike where empty
    config.filters = ("",)  # shell patterns that keys of the externals must match, in their order
    config.externals = ("",)
    config.align = "auto"  # "always": every image through the same alignment
    config.antialias = True  # False: large photos are cut as InsightFace cut its training sets
    config.detector = ""  # an .onnx file; the default detector where empty
    config.quality = 0  # JPEG quality in which every face is encoded again; 0: none is
    config.screen_network = ""  # another network, for near-duplicates that fingerprints miss
    config.manifest = ""  # manifest.json of an earlier audit, whose images are used again
    config.stores = ("",)  # activations that experiments.extract wrote
    config.controls = ("random_network", "shuffled_labels", "pixels")
    config.random_networks = 20  # of the verdict's control; the tables show the first
    config.shuffles = 200  # of labels, likewise
    config.other_network = ""  # a network that did not train on the members, another control
    config.robustness = True  # queries changed, and everything prepared anew; and the baselines
    config.auditor = "neighbour"  # of experiments.train_auditor, with the layer and the protocol
    config.layer = "outcome"
    config.protocol = "matched"
    config.per_device_batch = 64
    config.workers = 0  # Grain processes; 0 decodes in threads, which is faster for one machine
    return config
