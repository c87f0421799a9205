#!/usr/bin/env bash
# Resolve one lock file with hashes and without addresses: `bash requirements/lock.sh core`. Extras are laid over the core; `least` stands alone.
set -euo pipefail
cd "$(dirname "$0")/.."
extra=$1
compile=(uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate)
if [ "$extra" = core ]; then
  "${compile[@]}" -c requirements/constraints.in --extra build pyproject.toml -o requirements/core.txt
elif [ "$extra" = least ]; then   # the lowest versions that pyproject.toml promises to work with
  "${compile[@]}" --resolution lowest-direct --extra build --extra dev pyproject.toml -o requirements/least.txt
else
  "${compile[@]}" -c requirements/core.txt --extra build --extra "$extra" pyproject.toml -o "requirements/$extra.txt"
fi
