"""Move data between files and stages: read working pixels, write results; every file is written atomically."""
