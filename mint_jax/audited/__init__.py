"""M: the models under audit."""

from mint_jax.audited.iresnet import IResNet as IResNet
from mint_jax.audited.iresnet import iresnet as iresnet
from mint_jax.audited.iresnet_model import save as save
from mint_jax.audited.model import AuditedModel as AuditedModel
from mint_jax.audited.model import Preprocessing as Preprocessing
from mint_jax.audited.model import randomised as randomised
from mint_jax.audited.spec import load as load
