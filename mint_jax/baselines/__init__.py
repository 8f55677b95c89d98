"""What an auditor must beat to have read anything from the audited model."""

from mint_jax.baselines.pixels import pixel_features as pixel_features
