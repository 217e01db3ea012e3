"""One file for each command: wires images, algorithms and the store together, and knows no command line."""
