"""Networks as they are published."""

import functools

import pytest

from experiments.benchmarks import iresnet_onnx


@pytest.fixture
def write_iresnet(tmp_path):
    """Function that writes `tmp_path / "network.onnx"`; returns its path and ModelProto."""

    def write(*args, **kwargs):
        path = tmp_path / "network.onnx"
        return path, functools.partial(iresnet_onnx.write, path)(*args, **kwargs)

    return write
