"""Learning the alignment."""
