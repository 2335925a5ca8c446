# SPDX-License-Identifier: Apache-2.0
# Sourced by ./quickstart and ./check: which Debian packages a job needs, and installing those that are missing.

PACKAGES_BUILD=(
  g++ cmake ninja-build pkg-config ca-certificates
  nlohmann-json3-dev libcli11-dev libtomlplusplus-dev
  libjpeg-dev libpng-dev libwebp-dev libheif-dev libexempi-dev
  libpcre2-dev libutf8proc-dev
  libcurl4-openssl-dev libssl-dev libboost1.81-dev libqrencode-dev libzip-dev
  libstemmer-dev zlib1g-dev wordnet-base
)
PACKAGES_CHECK=(
  git libgtest-dev libgmock-dev libbenchmark-dev
  clang clang-format clang-tidy libclang-rt-14-dev
  chromium chromium-driver
  openmpi-bin libopenmpi-dev
  abigail-tools python3 zsh fish
)
PACKAGES_ARM=(g++-aarch64-linux-gnu qemu-user)
PACKAGES_LONG=(
  slurmctld slurmd slurm-client munge
  debootstrap dpkg-dev
)

# install_missing PACKAGE...: installs through apt what dpkg does not know, with sudo where needed, and says so.
install_missing() {
  if ! command -v apt-get >/dev/null; then
    echo "This is not a Debian system. Please install the counterparts of: $*" >&2
    return 0
  fi
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local sudo=""
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "These Debian packages are missing: ${missing[*]}" >&2
      echo "Install them as root: apt-get install ${missing[*]}" >&2
      return 1
    fi
    sudo="sudo"
  fi
  echo "Installing with apt: ${missing[*]}" >&2
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 || return 1
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 || {
    echo "apt could not install: ${missing[*]}" >&2
    return 1
  }
}
