#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# libraries.sh ROOT: the libraries of an arm64 Debian that the minimal program is linked with, unpacked into ROOT. Neither root
# nor a foreign architecture in the system's own package lists is needed; downloads about 20 MB.
set -euo pipefail
root=$1
packages=(libjpeg62-turbo-dev libpng-dev libwebp-dev libpcre2-dev libutf8proc-dev libssl-dev zlib1g-dev libgtest-dev libgmock-dev)
[ ! -f "$root/complete" ] || exit 0
rm -rf "$root"
mkdir -p "$root"/apt/{lists,archives}
root=$(cd "$root" && pwd)
options=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::Lists="$root/apt/lists" -o Dir::State::status=/dev/null
  -o Dir::Cache="$root/apt" -o Dir::Cache::Archives="$root/apt/archives" -o Debug::NoLocking=1 -o APT::Sandbox::User=root -q)
apt-get "${options[@]}" update
(cd "$root/apt/archives" && apt-get "${options[@]}" download "${packages[@]}")
for package in "$root"/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
rm -r "$root/apt"
touch "$root/complete"
