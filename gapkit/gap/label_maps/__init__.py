"""Label maps: how source classes are read as target classes, family by family from strict to free."""
