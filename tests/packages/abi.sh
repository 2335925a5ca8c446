#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# abi.sh LIBRARY [--write]: holds the interface of libfastvlm.so against packaging/abi/libfastvlm.abi, or writes that anew.
# Fails on every difference: abidiff cannot tell a struct that grew from one that broke.
set -euo pipefail
library=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
known=$source/packaging/abi/libfastvlm.abi
found=$(mktemp)
trap 'rm -f "$found"' EXIT
command -v abidiff >/dev/null || { echo "abidiff is not installed (Debian: abigail-tools)" >&2; exit 1; }
abidw --exported-interfaces-only --drop-private-types --headers-dir "$source/include" --no-elf-needed --no-show-locs \
  --no-comp-dir-path --no-corpus-path --out-file "$found" "$library"
if [ "${2:-}" = --write ]; then
  cp "$found" "$known"
  exit
fi
abidiff "$known" "$found" || {
  echo "The interface is not the one of packaging/abi. New functions, and fields at the ends of structs, are written down with" >&2
  echo "  tests/packages/abi.sh $library --write" >&2
  echo "Whatever else differs breaks programs that were compiled before." >&2
  exit 1
}
