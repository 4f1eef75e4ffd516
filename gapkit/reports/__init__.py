"""What a person sees of a result: text tables, figures and the run folder. Reports read results only."""
