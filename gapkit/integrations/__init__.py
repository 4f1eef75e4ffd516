"""gapkit in other people's training loops: callbacks of trainers, and measures as streaming metrics.

``trainer.ReuseCallback`` is for ``transformers.Trainer``, ``lightning.ReuseCallback`` for Lightning (extra
``lightning``), and ``metrics`` holds the measures that are sums over batches (extra ``torchmetrics``).
"""
