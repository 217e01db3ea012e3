"""Objects without learning: what cannot be filled in, what holds on to the border, what ranks as unlike it."""
