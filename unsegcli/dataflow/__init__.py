"""How data moves between files and stages: working pixels in, results out, each file whole or not at all."""
