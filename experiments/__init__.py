"""Entry points: short programs over absl flags that wire `data_pipelines` to `mint_jax`."""
