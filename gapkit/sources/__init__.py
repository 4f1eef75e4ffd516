"""Pretrained source models, the capture of their features and the cache of what was captured."""
