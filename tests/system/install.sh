#!/bin/sh
# Installs the Debian packages the system tests run, and only those that are missing.
set -eu

PACKAGES="alpine ca-certificates curl fetchmail getmail6 isync maildrop neomutt offlineimap3
  procmail python3-venv sasl2-bin"
# Of another source where the machine has it.
command -v npm >/dev/null || PACKAGES="$PACKAGES nodejs npm"

missing=""
for package in $PACKAGES; do
    state=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [ "$state" = "install ok installed" ] || missing="$missing $package"
done

[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "system tests need these Debian packages:$missing" >&2
    echo "run as root: apt-get install$missing" >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# The lists of a fresh machine are empty or old; a failure here shows again below.
apt-get update -qq || true
# No daemon of these packages shall start: the tests run their own.
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing
