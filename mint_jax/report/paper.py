"""The paper's own figures: accuracies of DeAlcala et al., arXiv 2503.08332, Tables 1 and 2.

Measured on InsightFace's R100 trained on Glint360K, members against other databases. They are
printed beside ours as theirs, and are not comparable with figures of another model and data.
"""

SOURCE = "DeAlcala et al., arXiv 2503.08332; R100 on Glint360K, other data: not comparable"
SIZES = ("1K", "50K", "100K")
FIGURES = {
    "table1": {
        "conv1": (0.62, 0.80, 0.80),
        "conv2": (0.56, 0.67, 0.68),
        "conv3": (0.56, 0.58, 0.59),
        "conv4": (0.73, 0.76, 0.76),
        "outcome": (0.67, 0.78, 0.78),
        "all_conv": (0.76, 0.82, 0.84),
    },
    "table2": {
        "conv1": (0.88, 0.89, 0.89),
        "conv2": (0.85, 0.86, 0.86),
        "conv3": (0.68, 0.71, 0.75),
        "conv4": (0.68, 0.70, 0.74),
    },
}
