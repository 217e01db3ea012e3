"""One module per command: connects images, algorithms and the store, independent of the command line."""
