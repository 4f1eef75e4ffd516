"""Fixed embedders: target samples to what a source takes, without learned parameters."""

from gapkit.embedders.choice import Choice, choose
from gapkit.embedders.fixed import fit

__all__ = ["Choice", "choose", "fit"]
