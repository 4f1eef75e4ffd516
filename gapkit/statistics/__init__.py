"""What every estimator shares: folds, intervals, bins."""
