"""gapkit measures the modality gap between a pretrained source model and a target dataset."""
