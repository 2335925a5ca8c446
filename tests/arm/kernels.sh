#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The kernels' tests on 64-bit Arm, cross-compiled and run under qemu: on a processor with dot products of bytes and on one
# without (a Raspberry Pi 4 has none): tests/arm/kernels.sh WORK
#   apt-get install g++-aarch64-linux-gnu qemu-user libgtest-dev; dpkg --add-architecture arm64; apt-get install libssl-dev:arm64
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$1
mkdir -p "$work"
gtest=/usr/src/googletest
export flags="-std=c++20 -O2 -Wall -Wextra -Wconversion -Wshadow -Werror -Isrc -Itests
  -isystem $gtest/googletest/include -isystem $gtest/googlemock/include -DFASTVLM_SOURCE_DIR=\"$PWD\""

compile() {  # compile SOURCE OBJECT [FLAG...]: unless the object is newer than all sources
  [ -f "$2" ] && [ -z "$(find src/base src/kernels tests/kernels tests/support "$1" -newer "$2" -print -quit)" ] ||
    aarch64-linux-gnu-g++ $flags "${@:3}" -c "$1" -o "$2"
}
export -f compile
for source in src/base/*.cc src/kernels/*.cc tests/kernels/*_test.cc \
  $gtest/googletest/src/gtest-all.cc $gtest/googletest/src/gtest_main.cc $gtest/googlemock/src/gmock-all.cc; do
  printf '%s %s -isystem %s -isystem %s\n' "$source" "$work/$(echo "$source" | tr / _ | sed 's/\.cc$/.o/')" $gtest/googletest $gtest/googlemock
done | xargs -P 2 -L 1 bash -c 'compile "$@"' compile
# One file with all libraries in it: under qemu 7.2 threads of a program with shared ones do not start.
aarch64-linux-gnu-g++ -static "$work"/*.o -o "$work/kernels_test" -lcrypto -lpthread
for processor in max cortex-a53; do
  echo "--- $processor"
  qemu-aarch64 -cpu $processor "$work/kernels_test" --gtest_brief=1
done
