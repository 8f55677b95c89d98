"""Auditors on models of the lab whose members are known: `experiments.compare_auditors`.

Labs of synthetic faces, with reference models, are the embedded model's recipe on fewer photos:
`people`, halves of every person's photos, and `persons`, halves of the people. Labs of a folder of
real photos, each of another person and its own class: `augmented`, `plain` without augmentation,
`underfit`, a null, and `attributes`, a softmax over the age, gender and race in UTKFace's names.

    python -m experiments.compare_auditors --workdir=runs/compare_auditors \
        --config=experiments/configs/compare_auditors.py:faces=DIR

Without `faces` the synthetic labs are trained alone; `labs=people;plain` picks some. With
`networks=A.onnx;B.onnx` published networks, which never saw a half of the photos, are references of
the labs of real photos. With `references=1` the second model of each of their pairs is trained,
too: with `models=9` each has sixteen others for LiRA.
"""

from ml_collections import ConfigDict

from experiments.configs import common, lab
from mint_jax.errors import InputError

_NEAR = {"kind": "neighbours"}
_VIEWS = {"kind": "neighbours", "views": "training"}
_CONSISTENCY = {"kind": "consistency", "layer": "outcome", "views": "training"}
_INNER = tuple(
    {"kind": "neighbours", "layer": layer, "centred": True} for layer in ("conv3", "conv4")
)
_HEAD = {"kind": "prototypes"}


def get_config(arg: str | None = None) -> ConfigDict:
    """Keys of `arg`: faces, labs, networks, identities, images_per_identity, pairs (of the
    synthetic labs), models (of the others), references (0 or 1, of the others), input_size in
    pixels, epochs and batch_size (0: each lab's own), seed.
    """
    args = common.parse(
        arg,
        faces="",
        labs=("",),
        networks=("",),
        identities=600,
        images_per_identity=4,
        pairs=9,
        models=6,
        references=0,
        input_size=28,
        epochs=0,
        batch_size=0,
        seed=0,
    )
    config = ConfigDict()
    labs = _synthetic(args) | (_real(args) if args["faces"] else {})
    wanted = [name for name in args["labs"] if name] or list(labs)
    for name in wanted:
        if name not in labs:
            raise InputError(f"--config: lab {name!r} is none of {', '.join(labs)} (faces=DIR?)")
    if any(args["networks"]):
        _refer(labs, wanted, args["networks"])
    config.labs = ConfigDict({name: labs[name] for name in wanted}, sort_keys=False)
    config.auditors = ConfigDict(_auditors(), sort_keys=False)
    config.coverages = (0.05, 0.2, 0.4, 0.5, 0.6, 0.8)  # shares of the people that are known
    config.references = (1, 2, 4, 8)  # models that the fused score is conditioned on
    config.gamma = 1.0  # of RMIA; the paper's 2 is out of reach: (1 + cosine) / 2 is nearly 1
    config.seed = args["seed"]
    config.workers = 0
    return config


def _synthetic(args: dict) -> dict[str, dict]:
    source = {"kind": "synthetic_faces", "database": "studio", "seed": 7}
    source |= {key: args[key] for key in ("identities", "images_per_identity")}
    recipe = {"epochs": 16, "batch_size": 64, "shift": 0}
    # Strangers, who are in no training, are the population of RMIA.
    referred = {"pairs": args["pairs"], "references": True, "strangers": 1 / 6}
    titles = {"image": "half of everybody's photos", "identity": "half of the people"}
    people, persons = (
        _lab(args, f"synthetic faces, {title}", source, recipe) | referred | {"by": by}
        for by, title in titles.items()
    )
    return {"people": people, "persons": persons}


def _real(args: dict) -> dict[str, dict]:
    source = {"kind": "folder", "path": args["faces"]}

    def real(title: str, head: str = "cosface", **recipe: object) -> dict:
        recipe = {"epochs": 40, "batch_size": 128, "shift": 1} | recipe
        referred = {"screen": True, "references": bool(args["references"])}
        return _lab(args, title, source, recipe, head) | referred

    attributes = real("photos, softmax over attributes", "softmax") | {"labels": "attributes"}
    return {
        "augmented": real("photos as classes, flips and shifts"),
        "plain": real("photos as classes, no augmentation", flip=False, shift=0),
        "underfit": real("photos as classes, three epochs", epochs=3),
        "attributes": attributes,
    }


def _refer(labs: dict[str, dict], wanted: list[str], networks: tuple[str, ...]) -> None:
    """Gives networks to the labs of photos; the others are what they were, and stay finished."""
    real = [name for name in wanted if labs[name]["source"]["kind"] == "folder"]
    if not real:
        raise InputError("--config: networks are references of labs of photos; none is asked for")
    for name in real:
        labs[name]["networks"] = networks


def _lab(args: dict, title: str, source: dict, recipe: dict, head: str = "cosface") -> dict:
    training = lab.training(head)
    training.architecture.input_size = args["input_size"]
    training.update(recipe)
    training.update({key: args[key] for key in ("epochs", "batch_size") if args[key]})
    return {
        "title": title,
        "source": source,
        "screen": False,  # near-duplicates dropped before halves are drawn
        "by": "identity",
        "pairs": args["models"],
        "validation": 1,  # pairs whose models choose the auditor
        "references": False,  # whether the second of each pair is trained, too
        "strangers": 0.0,  # share of the people that is in no training
        "labels": "identity",
        "training": training,
        "seed": args["seed"],
    }


def _auditors() -> dict[str, dict]:
    """Each with the JSON of its kind; see `experiments.lab_auditors`."""
    paper = {
        f"vanilla_{layer}": {"title": f"Vanilla, {title}", "kind": "vanilla", "layer": layer}
        for layer, title in (
            ("conv4", "Conv #4"),
            ("outcome", "model outcome"),
            ("all_conv", "all conv layers"),
        )
    }
    neighbour = {"neighbour": {"title": "neighbours in separate banks", "kind": "neighbour"}}
    estimated, known = {"prototypes": "estimated"}, {"prototypes": "known"}
    everything = (_VIEWS, _CONSISTENCY, *_INNER)
    return {
        **paper,
        **neighbour,
        "neighbours": _fusion("neighbours", _NEAR),
        "neighbours_views": _fusion("neighbours of the views' mean", _VIEWS),
        "consistency": _fusion("consistency of the views", _CONSISTENCY),
        "inner": _fusion("neighbours in inner layers", *_INNER),
        "fusion": _fusion("fusion of all parts", *everything),
        "less_neighbours": _fusion("fusion less neighbours", _CONSISTENCY, *_INNER),
        "less_consistency": _fusion("fusion less consistency", _VIEWS, *_INNER),
        "less_inner": _fusion("fusion less inner layers", _VIEWS, _CONSISTENCY),
        "prototypes_estimated": _fusion("estimated prototypes of others", _HEAD) | estimated,
        "prototypes_known": _fusion("prototypes of known members", _HEAD) | known,
        "prototypes": _fusion("prototypes of all others", _HEAD) | {"prototypes": "all"},
        "fusion_head": _fusion("fusion and prototypes", *everything, _HEAD) | {"prototypes": "all"},
    }


def _fusion(title: str, *parts: dict) -> dict:
    return {"title": title, "kind": "fusion", "parts": parts}
