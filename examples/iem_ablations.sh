#!/usr/bin/env bash
# What each part of `unseg iem` is worth on a folder of images with labels: mean IoU of the object, one line a run.
# The files lie in OUTPUT (default: iem-ablations/ in the working folder). Run it again after an interruption.
set -euo pipefail

if (($# < 1 || $# > 2)); then
    echo "usage: ${0##*/} IMAGES [OUTPUT]" >&2
    exit 2
fi
images=$1
output=${2:-iem-ablations}

# run NAME [OPTION]...: masks with these options, and their score.
run() {
    local name=$1 iou
    shift
    unseg iem "$images" -o "$output/$name.h5" --quiet "$@" >"$output/log.txt"
    unseg evaluate "$output/$name.h5" -o "$output/$name-metrics.h5" --quiet --json >"$output/$name.json"
    iou=$(sed -n 's/^ *"iou": \([0-9.]*\).*/\1/p' "$output/$name.json" | head -n 1)
    LC_ALL=C printf '%-16s %.3f  %s\n' "$name" "$iou" "$*"
}

mkdir -p "$output"
printf '%-16s %-5s  %s\n' run IoU options
run default
# Images from 0 to 1 instead of -1 to 1 halve the errors and quarter the spread: the same as half the weight.
run unit-range --diversity 5e-4
run no-diversity --diversity 0
run colours-alone --diversity 1000
run no-smoothing --no-smooth
run all-pixels --update all
# The first mask: alone, nearly the whole image, 25 and 44 of 128 pixels, superpixels.
run square-itself --iterations 0
run square-large --square 0.98
run square-25 --square 0.195
run square-44 --square 0.344
run superpixels --init superpixels
run short --iterations 40
# The filter is as wide in pixels, so twice as wide in the image; the weight is scaled along, or is not.
run half-size --size 64
run half-size-same --size 64 --diversity 2.5e-4
run half-filter --scale-factor 2 --sigma 2.5 --kernel 7
