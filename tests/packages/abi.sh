#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# abi.sh LIBRARY [--write]: holds the interface of libfastvlm.so against packaging/abi/libfastvlm.abi, or writes that anew.
# Functions and fields that were added are shown and pass; what older programs would stumble over fails.
set -euo pipefail
library=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
known=$source/packaging/abi/libfastvlm.abi
command -v abidiff >/dev/null || { echo "abidiff is not installed (Debian: abigail-tools)" >&2; exit 1; }
if [ "${2:-}" = --write ]; then
  abidw --headers-dir "$source/include" --drop-private-types --no-show-locs --no-comp-dir-path --no-corpus-path \
    --out-file "$known" "$library"
  exit
fi
status=0
abidiff --headers-dir2 "$source/include" --drop-private-types "$known" "$library" || status=$?
# Bit 4: something changed; bit 8: older programs break.
if [ $((status & ~4)) -ne 0 ]; then
  echo "The interface of libfastvlm.so changed so that older programs break." >&2
  exit 1
fi
[ "$status" -eq 0 ] || echo "The interface grew; write it down with: tests/packages/abi.sh $library --write"
