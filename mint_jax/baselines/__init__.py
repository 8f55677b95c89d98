"""What an auditor must beat to have read anything from the audited model."""

from mint_jax.baselines.catalogue import BASELINES as BASELINES
from mint_jax.baselines.catalogue import Baseline as Baseline
from mint_jax.baselines.head import nearest_centre as nearest_centre
from mint_jax.baselines.head import own_centre as own_centre
from mint_jax.baselines.head import own_margin as own_margin
from mint_jax.baselines.lira import lira_offline as lira_offline
from mint_jax.baselines.lira import lira_online as lira_online
from mint_jax.baselines.pixels import pixel_features as pixel_features
from mint_jax.baselines.quantile import QuantileRegression as QuantileRegression
from mint_jax.baselines.quantile import fit_quantile as fit_quantile
from mint_jax.baselines.rmia import rmia as rmia
from mint_jax.baselines.scalars import Scalars as Scalars
