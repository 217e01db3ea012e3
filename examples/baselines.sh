#!/usr/bin/env bash
# Both k-means baselines of a folder of images, and what came out.
# The files lie in OUTPUT (default: baselines/ in the working folder). Run it again after an interruption.
set -euo pipefail

if (($# < 2 || $# > 3)); then
    echo "usage: ${0##*/} IMAGES CLASSES [OUTPUT]" >&2
    exit 2
fi
images=$1
classes=$2
output=${3:-baselines}

# Superpixels, then k-means on their colour, texture and position.
unseg superpixels "$images" -o "$output/superpixels.h5" |
    unseg cluster --classes "$classes" -o "$output/regions.h5"

# The floor: k-means on blurred pixels, which needs no superpixels.
unseg cluster "$images" --features bands --classes "$classes" -o "$output/floor.h5"

unseg inspect "$output/regions.h5"
unseg inspect "$output/floor.h5"
