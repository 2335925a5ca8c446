#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# debian_root.sh BUILD-FOLDER: makes the Debian package, installs it with apt in a bare Debian root, and captions a picture
# there. As root; downloads about 100 MB.
set -euo pipefail
build=$(cd "$1" && pwd)
command -v debootstrap >/dev/null || { echo "debootstrap is not installed" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || { echo "debootstrap needs root" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root
(cd "$work" && cpack -G DEB --config "$build/CPackConfig.cmake" >cpack.log) || { tail -n 20 "$work/cpack.log" >&2; exit 1; }
package=$(echo "$work"/fastvlm_*.deb)
dpkg-deb --field "$package" Package Version Depends Installed-Size
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m 1 'debian/*$' || echo http://deb.debian.org/debian)
debootstrap --variant=minbase "$codename" "$root" "$mirror" >"$work/debootstrap.log" || { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp "$package" "$root/fastvlm.deb"
chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends /fastvlm.deb >"$work/apt.log" 2>&1 ||
  { tail -n 20 "$work/apt.log" >&2; exit 1; }
# A bare root has no /proc, by which the program would find the demo model.
chroot "$root" fastvlm caption --model /usr/share/fastvlm/models/demo /usr/share/fastvlm/examples/cat-city-midday.jpg >"$work/caption"
cat "$work/caption"
[ "$(wc -l <"$work/caption")" -eq 7 ]
[ -z "$(chroot "$root" ldd /usr/bin/fastvlm | grep 'not found')" ]
chroot "$root" apt-get purge -q -y fastvlm >>"$work/apt.log"
[ -z "$(find "$root/usr" -name '*fastvlm*' -print -quit)" ]
