"""One file for each command: wires pictures, algorithms and the store together, and knows no command line."""
