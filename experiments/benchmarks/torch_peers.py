"""What a user of PyTorch would write. Importing this imports PyTorch, which need not be there."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mint_jax.audited import IResNet
from mint_jax.auditors import CNN, FitConfig, Vanilla


def embedder(variables: Mapping, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """Embeddings of normalised images (B, 3, S, S) on the CPU, channels last, in float32."""
    torch.set_num_threads(threads)
    network = Network(variables).eval().to(memory_format=torch.channels_last)
    images = torch.from_numpy(x).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run() -> np.ndarray:
        return network(images).numpy()

    return run


def compiled(variables: Mapping, x: np.ndarray, repeats: int) -> Callable[[], np.ndarray]:
    """Embeddings in bfloat16 of images that are on the accelerator, `repeats` times in a run."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    place = {"device": device, "dtype": torch.bfloat16, "memory_format": torch.channels_last}
    network = torch.compile(Network(variables).eval().to(**place), mode="max-autotune")
    images = torch.from_numpy(x).to(**place)

    @torch.inference_mode()
    def run() -> np.ndarray:
        for _ in range(repeats):
            embeddings = network(images)
        return embeddings.float().cpu().numpy()

    return run


class Network(nn.Module):
    """An IResNet with our variables; a BatchNorm behind a convolution is folded into it."""

    def __init__(self, variables: Mapping[str, Mapping]):
        super().__init__()
        weights = _Weights(variables)
        self.stem = nn.Sequential(weights.conv("stem_conv", "stem_bn"), weights.prelu("stem_prelu"))
        self.blocks = nn.Sequential(*(_Block(weights, name) for name in weights.blocks()))
        self.norm = weights.norm("final_bn")
        self.embedding = weights.embedding()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embeddings (B, D) of normalised images (B, 3, S, S)."""
        return self.embedding(self.norm(self.blocks(self.stem(x))).flatten(1))


class _Block(nn.Module):
    def __init__(self, weights: "_Weights", name: str):
        super().__init__()
        first = name.endswith("_block0")
        self.body = nn.Sequential(
            weights.norm(f"{name}_bn1"),
            weights.conv(f"{name}_conv1", f"{name}_bn2"),
            weights.prelu(f"{name}_prelu"),
            weights.conv(f"{name}_conv2", f"{name}_bn3", 2 if first else 1),
        )
        self.shortcut = nn.Identity()
        if first:
            self.shortcut = weights.conv(f"{name}_shortcut_conv", f"{name}_shortcut_bn", 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.shortcut(x)


class _Weights:
    """Our variables as PyTorch's layers."""

    def __init__(self, variables: Mapping[str, Mapping]):
        self._params, self._statistics = variables["params"], variables["batch_stats"]

    def blocks(self) -> Sequence[str]:
        names = (name.removesuffix("_conv1") for name in self._params if name.endswith("_conv1"))
        return sorted(names, key=lambda name: [int(n) for n in name[5:].split("_block")])

    def norm(self, name: str) -> nn.BatchNorm2d:
        own, statistics = self._params[name], self._statistics[name]
        layer = nn.BatchNorm2d(len(own["bias"]), eps=IResNet.epsilon)
        for target, values in (
            (layer.weight, own["scale"]),
            (layer.bias, own["bias"]),
            (layer.running_mean, statistics["mean"]),
            (layer.running_var, statistics["var"]),
        ):
            _fill(target, values)
        return layer

    def conv(self, name: str, norm: str, stride: int = 1) -> nn.Conv2d:
        kernel, (scale, shift) = np.asarray(self._params[name]["kernel"]), self._affine(norm)
        side, _, inputs, outputs = kernel.shape
        layer = nn.Conv2d(inputs, outputs, side, stride, side // 2)
        _fill(layer.weight, (kernel * scale).transpose(3, 2, 0, 1))
        _fill(layer.bias, shift)
        return layer

    def prelu(self, name: str) -> nn.PReLU:
        slope = self._params[name]["slope"]
        layer = nn.PReLU(len(slope))
        _fill(layer.weight, slope)
        return layer

    def embedding(self) -> nn.Linear:
        own, (scale, shift) = self._params["embedding"], self._affine("embedding_bn")
        kernel = np.asarray(own["kernel"])
        rows, size = kernel.shape
        by_place = kernel.reshape(-1, len(self._params["final_bn"]["bias"]), size)  # from HWC
        layer = nn.Linear(rows, size)
        _fill(layer.weight, (by_place.transpose(1, 0, 2).reshape(rows, size) * scale).T)
        _fill(layer.bias, np.asarray(own["bias"]) * scale + shift)
        return layer

    def _affine(self, norm: str) -> tuple[np.ndarray, np.ndarray]:
        own, statistics = self._params[norm], self._statistics[norm]
        scale = np.asarray(own["scale"]) / np.sqrt(np.asarray(statistics["var"]) + IResNet.epsilon)
        return scale, np.asarray(own["bias"]) - np.asarray(statistics["mean"]) * scale


def _fill(target: torch.Tensor, values: Any) -> None:
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.array(values, np.float32)))


class VanillaAuditor(nn.Module):
    """The Vanilla auditor: logits (B,) and penalties (B,) of standardised AAD (B, C)."""

    def __init__(self, shape: Sequence[int], about: Vanilla):
        super().__init__()
        widths = *shape, *shape, about.hidden, 1
        self.dense = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths))
        self.dropout, self.l1 = nn.Dropout(about.dropout), about.l1

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        penalty, (*hidden, last) = 0.0, self.dense
        for layer in hidden:
            x = torch.relu(layer(x))
            penalty = penalty + x.abs().mean(-1)
            x = self.dropout(x)
        return last(x)[:, 0], self.l1 * penalty


class CNNAuditor(nn.Module):
    """The CNN auditor: logits (B,) and zeros (B,) of standardised maps (B, H, W, C)."""

    def __init__(self, shape: Sequence[int], about: CNN):
        super().__init__()
        inputs = (shape[-1], *about.filters)
        self.conv = nn.ModuleList(
            nn.Conv2d(*pair, about.kernel, about.stride, about.kernel // 2)
            for pair in itertools.pairwise(inputs)
        )
        self.pool = about.pool
        flat = self._convolve(torch.zeros(1, *shape)).shape[1]
        self.dense = nn.ModuleList((nn.Linear(flat, about.hidden), nn.Linear(about.hidden, 1)))
        self.dropout = nn.Dropout(about.dropout)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, last = self.dense
        x = self.dropout(torch.relu(hidden(self._convolve(x))))
        return last(x)[:, 0], torch.zeros(len(x))

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 3, 1, 2)  # channels last in memory
        for convolution in self.conv:
            x = torch.relu(convolution(x))
            side = self.pool if min(x.shape[2:]) >= self.pool else 1
            x = nn.functional.max_pool2d(x, side)
        return x.permute(0, 2, 3, 1).flatten(1)


_AUDITORS = {"vanilla": VanillaAuditor, "cnn": CNNAuditor}


def fit(
    about: Vanilla | CNN,
    features: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    seed: int,
    config: FitConfig,
) -> float:
    """Trains one auditor with Adam as `fit_population` does; its lowest validation loss.

    Args:
      about: the auditor.
      features: (n, C) or (n, H, W, C) float32.
      labels: (n,).
      train, validation: (n,) bool.
      seed: of its weights, batches and dropout.
      config: how to train; nothing stops early.
    """
    torch.manual_seed(seed)
    x, y = torch.from_numpy(features), torch.from_numpy(labels.astype(np.float32))
    rows, held = (torch.from_numpy(np.flatnonzero(mask)) for mask in (train, validation))
    known, over = x[rows], tuple(range(x.ndim - 1))
    x = (x - known.mean(over)) / known.std(over, correction=0)
    network = _AUDITORS[about.kind](features.shape[1:], about)
    for weights in network.parameters():
        nn.init.kaiming_normal_(weights) if weights.ndim > 1 else nn.init.zeros_(weights)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    lowest, best = float("inf"), None
    for _ in range(config.epochs):
        network.train()
        for batch in rows[torch.randperm(len(rows))].split(config.batch_size):
            logits, penalty = network(x[batch])
            optimizer.zero_grad()
            (cross_entropy(logits, y[batch]) + penalty.mean()).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            loss = cross_entropy(network(x[held])[0], y[held]).item()
        if loss < lowest:
            lowest, best = loss, [weights.detach().clone() for weights in network.parameters()]
    for weights, kept in zip(network.parameters(), best):
        weights.data = kept
    return lowest


class _Images(Dataset):
    def __init__(self, encoded: Sequence[bytes]):
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, row: int) -> torch.Tensor:
        data = np.frombuffer(self._encoded[row], np.uint8)
        return torch.from_numpy(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


def loading(encoded: Sequence[bytes], batch: int, workers: int) -> Callable[[], int]:
    """Reads all images in batches by worker processes, which stay; how many there were."""
    loader = DataLoader(
        _Images(encoded),
        batch,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="spawn",  # threads of XLA do not survive a fork
    )
    return lambda: sum(len(images) for images in loader)
