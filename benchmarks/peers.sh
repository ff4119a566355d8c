#!/usr/bin/env bash
# An environment with the peers beside this project, so that all run in one interpreter.
#
#   benchmarks/peers.sh [FOLDER]     default: benchmarks/.peers
#
# PYTHON and TORCH_INDEX_URL mean what they mean in the Makefile.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
folder="${1:-$root/benchmarks/.peers}"
"${PYTHON:-python3.11}" -m venv "$folder"
# torch stands on the same line, or pip would look for another build of it.
"$folder/bin/pip" install -q --disable-pip-version-check -c "$root/constraints.txt" \
  ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} \
  torch==2.13.0 trl==1.16.0 liger-kernel==0.8.5 "datatrove[io,processing]==0.10.1" datasketch==2.0.0 -e "$root[train]"
echo "$folder/bin/python runs the benchmarks with their peers"
