"""Labels that cannot be permuted: why, in the words of what was tried."""

from __future__ import annotations

import numpy as np

from gapkit.scores.permuting import permuted

LABELS, GROUPS = np.repeat([0, 1, 2], 12), np.repeat([0, 1, 2], 12)


def test_folds_are_named_only_where_there_are_folds():
    drawn, reason = permuted(LABELS, None, GROUPS, 9, 0)
    assert not len(drawn)
    assert reason == "labels of groups can be placed in 6 ways only, so no p-value could be 0.05"
    _, reason = permuted(LABELS, np.zeros(36, dtype=np.int64), GROUPS, 9, 0)
    assert reason.startswith("within folds, labels of groups")
    drawn, reason = permuted(LABELS.astype(np.float64), None, None, 9, 0)
    assert (len(drawn), reason) == (9, "")
