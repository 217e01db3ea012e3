#!/usr/bin/env bash
# Trains the learned methods on a folder of images, three seeds each with all defaults, and prints their scores.
#
#   examples/learned.sh DATA CLASSES [LEGEND [FOLDER]]
#
# DATA holds images/ and labels/; labels are read by `unseg evaluate` only. LEGEND merges classes, as for `unseg
# evaluate --legend`. What is written goes to FOLDER, by default learned/.
set -euo pipefail

if (($# < 2)); then
    echo "usage: ${0##*/} DATA CLASSES [LEGEND [FOLDER]]" >&2
    exit 2
fi
data=$(cd "$1" && pwd)
classes=$2
legend=()
if [[ -n ${3:-} ]]; then legend=(--legend "$(cd "$(dirname "$3")" && pwd)/$(basename "$3")"); fi
mkdir -p "${4:-learned}"
cd "${4:-learned}"

score() { # name, segmentation
    unseg evaluate "$2" ${legend[@]+"${legend[@]}"} --json --quiet -o "${2%.h5}-metrics.h5" 2>/dev/null |
        python3 -c "import json, sys
scores = json.load(sys.stdin)['scores']
print('$1', format(scores['accuracy'], '.3f'), format(scores['miou'], '.3f'))"
}

echo "method-seed accuracy mIoU"
unseg superpixels "$data" -o superpixels.h5 --quiet >/dev/null
for method in ${METHODS:-iic infoseg inmars}; do
    for seed in ${SEEDS:-0 1 2}; do
        name=$method-$seed
        unseg train superpixels.h5 --method "$method" --classes "$classes" --seed "$seed" ${STEPS:+--steps "$STEPS"} \
            --quiet -o "$name-model.h5" >/dev/null
        unseg cluster "$name-model.h5" --quiet -o "$name.h5" >/dev/null
        score "$name" "$name.h5"
    done
done
