"""Target samples to what a source takes: by fixed embedders without parameters, and by learned ones."""

from gapkit.embedders.choice import Choice, choose
from gapkit.embedders.embedder_file import load_embedder, save_embedder
from gapkit.embedders.fixed import fit
from gapkit.embedders.learned import LearnedEmbedder, check_fits
from gapkit.embedders.patch import PatchOptions, learned_embedder

__all__ = [
    "Choice",
    "LearnedEmbedder",
    "PatchOptions",
    "check_fits",
    "choose",
    "fit",
    "learned_embedder",
    "load_embedder",
    "save_embedder",
]
