"""T: auditors that tell members from non-members by the AAD of an audited model."""

from mint_jax.auditors.checkpoint import load as load
from mint_jax.auditors.checkpoint import save as save
from mint_jax.auditors.cnn import CNN as CNN
from mint_jax.auditors.conditional import Conditional as Conditional
from mint_jax.auditors.conditional import fit_conditional as fit_conditional
from mint_jax.auditors.fit import FitConfig as FitConfig
from mint_jax.auditors.fit import fit_population as fit_population
from mint_jax.auditors.fusion import FusionConfig as FusionConfig
from mint_jax.auditors.fusion import FusionPopulation as FusionPopulation
from mint_jax.auditors.fusion import fit_fusion as fit_fusion
from mint_jax.auditors.fusion import fit_fusions as fit_fusions
from mint_jax.auditors.neighbour import NeighbourConfig as NeighbourConfig
from mint_jax.auditors.neighbour import NeighbourPopulation as NeighbourPopulation
from mint_jax.auditors.neighbour import fit_neighbour as fit_neighbour
from mint_jax.auditors.neighbour import fit_neighbours as fit_neighbours
from mint_jax.auditors.parts import Consistency as Consistency
from mint_jax.auditors.parts import Neighbours as Neighbours
from mint_jax.auditors.parts import Prototypes as Prototypes
from mint_jax.auditors.population import Population as Population
from mint_jax.auditors.relabelled import Relabelled as Relabelled
from mint_jax.auditors.relabelled import fit_relabelled as fit_relabelled
from mint_jax.auditors.relabelled import fit_relabelled_fusions as fit_relabelled_fusions
from mint_jax.auditors.trained import TrainedAuditor as TrainedAuditor
from mint_jax.auditors.vanilla import Vanilla as Vanilla
