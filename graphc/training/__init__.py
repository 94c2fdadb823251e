"""Training: one loop over epochs and batches, on compiled programs alone."""

from graphc.training.checkpoint import load_checkpoint
from graphc.training.fit import Epoch, Fit, fit
from graphc.training.history import History

__all__ = ["Epoch", "Fit", "History", "fit", "load_checkpoint"]
