#!/usr/bin/env bash
# Object masks by IEM, a network that learns from all of them, and that network's masks, which follow outlines.
# The files lie in OUTPUT (default: refined/ in the working folder). Run it again after an interruption.
set -euo pipefail

if (($# < 1 || $# > 2)); then
    echo "usage: ${0##*/} IMAGES [OUTPUT]" >&2
    exit 2
fi
images=$1
output=${2:-refined}

unseg iem "$images" -o "$output/masks.h5"
# The network works on images as large as those of IEM: its masks are as fine as those that it learns from.
unseg train "$images" --size 128 --method segnet --proposals "$output/masks.h5" --steps "${STEPS:-400}" -o "$output/model.h5"
# It is right about objects, and coarse about outlines: hence --refine.
unseg cluster "$output/model.h5" "$images" --per pixel --flips --refine -o "$output/refined.h5"
