"""Is the embedding of an image uncorrelated with the pretext target, given the class (C1)?"""
