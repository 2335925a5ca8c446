#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# installed.sh BUILD-FOLDER: installs into a folder of its own, builds the examples there as a user of the library would, and
# holds what they say against `fastvlm caption`.
set -euo pipefail
[ "${FASTVLM_TEST_LENGTH:-plain}" != fast ] || { echo "not part of the fast run"; exit 77; }
build=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/../.." && pwd)
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
root=$prefix/usr
fail() { echo "FAILED: $*" >&2; exit 1; }

cmake --install "$build" --prefix "$root" --strip >"$prefix/install.log" || fail "cmake --install: $(tail -n 5 "$prefix/install.log")"
library=$(dirname "$(find "$root" -name 'libfastvlm.so.?')")
export LD_LIBRARY_PATH=$library PKG_CONFIG_PATH=$library/pkgconfig
export XDG_CACHE_HOME=$prefix/cache  # what the user of this machine has pulled must not show
unset FASTVLM_MODEL
model=$(pkg-config --variable=demo_model fastvlm)
picture=$root/share/fastvlm/examples/cat-city-midday.jpg
cd "$prefix"
"$root/bin/fastvlm" caption "$picture" >expected 2>log || fail "the installed program: $(cat log)"
grep -q 'bundled demo model' log || fail "the program did not find the demo model"
[ "$(wc -l <expected)" -eq 7 ] || fail "expected seven sections, found $(cat expected)"

same() {  # same NAME COMMAND...: prints the caption
  local name=$1
  shift
  "$@" "$model" "$picture" >found 2>log || fail "$name: $(cat log)"
  cmp expected found || fail "$name says something else: $(cat found)"
  echo "ok: $name"
}

read -ra flags <<<"$(pkg-config --cflags --libs fastvlm)"
cc -std=c99 -Wall -Wextra -Wpedantic -Werror "$root/share/fastvlm/examples/c/describe.c" -o c "${flags[@]}"
same "C with pkg-config" ./c
c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror "$root/share/fastvlm/examples/cpp/describe.cpp" -o cpp "${flags[@]}"
same "C++ with pkg-config" ./cpp
read -ra flags <<<"$(pkg-config --static --cflags --libs fastvlm | sed 's/-lfastvlm /-l:libfastvlm.a /')"
cc "$root/share/fastvlm/examples/c/describe.c" -o static "${flags[@]}"
! ldd static | grep -q libfastvlm || fail "the program that links the archive wants the shared library"
same "C with the archive" ./static
cmake -S "$root/share/fastvlm/examples/c" -B cmake -DCMAKE_PREFIX_PATH="$root" >log 2>&1 || fail "find_package: $(tail -n 5 log)"
cmake --build cmake >log 2>&1 || fail "building with find_package: $(tail -n 5 log)"
same "C with find_package" cmake/describe
same "C++ with find_package" cmake/describe_cpp
same "Python" python3 "$root/share/fastvlm/examples/python/describe.py"

shown=$(nm -D --defined-only "$library/libfastvlm.so" | awk '{print $3}' | grep -v '^fastvlm_.*@@FASTVLM_0$' | grep -v '^FASTVLM_0' || true)
[ -z "$shown" ] || fail "the library shows: $shown"
if ./c /no/such/model "$picture" 2>log; then fail "no such model, and yet no error"; fi
grep -q '/no/such/model' log && grep -q '^hint: ' log || fail "the error: $(cat log)"

for file in man/man1/fastvlm.1 bash-completion/completions/fastvlm zsh/vendor-completions/_fastvlm \
            fish/vendor_completions.d/fastvlm.fish doc/fastvlm/copyright; do
  [ -s "$root/share/$file" ] || fail "share/$file is missing"
done
bash -n "$root/share/bash-completion/completions/fastvlm" || fail "bash does not read its completions"
! command -v zsh >/dev/null || zsh -n "$root/share/zsh/vendor-completions/_fastvlm" || fail "zsh does not read its completions"
! command -v fish >/dev/null || fish -n "$root/share/fish/vendor_completions.d/fastvlm.fish" || fail "fish does not read its completions"
# What bash offers behind "fastvlm caption --temp" and "fastvlm caption --aspect".
offered=$(bash -c '. "$1"; COMP_WORDS=(fastvlm caption --temp); COMP_CWORD=2; _fastvlm; echo "${COMPREPLY[@]}"
                   COMP_WORDS=(fastvlm caption --aspect ""); COMP_CWORD=3; _fastvlm; echo "${COMPREPLY[@]}"' \
          - "$root/share/bash-completion/completions/fastvlm")
[ "$offered" = $'--temperature\npad crop' ] || fail "bash offers: $offered"
if command -v systemd-analyze >/dev/null; then
  mkdir unit && sed "s|^ExecStart=[^ ]*|ExecStart=$root/bin/fastvlm|; /^Documentation/d" "$root/lib/systemd/system/fastvlm.service" >unit/fastvlm.service
  problems=$(systemd-analyze verify unit/fastvlm.service 2>&1 | grep fastvlm.service || true)
  [ -z "$problems" ] || fail "systemd-analyze: $problems"
  echo "ok: systemd unit"
fi
