#!/bin/sh
# Installs the Debian packages the system tests run, and only those that are missing.
set -eu

PACKAGES="alpine ca-certificates curl dovecot-imapd dovecot-pop3d fetchmail getmail6 gsasl isync
  krb5-admin-server krb5-kdc krb5-user libkrb5-dev gcc python3-dev libsasl2-modules-gssapi-mit
  liblockfile1 libsasl2-modules maildrop mutt neomutt offlineimap3 postfix procmail python3-venv
  sasl2-bin strace thunderbird"
# Of another source where the machine has it.
command -v npm >/dev/null || PACKAGES="$PACKAGES nodejs npm"
# What cannot be installed beside Postfix or Dovecot is unpacked into folders of its own, where every
# user can run it; what Courier is linked with is installed.
UNPACKED="courier-imap courier-pop exim4-daemon-light sendmail-bin"
FOLDER=/var/cache/maa-tests
PACKAGES="$PACKAGES courier-authlib libcourier-unicode4 libgamin0 libgdbm6 libidn12"

missing=""
for package in $PACKAGES; do
    state=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [ "$state" = "install ok installed" ] || missing="$missing $package"
done
packed=""
for package in $UNPACKED; do
    [ -d "$FOLDER/$package" ] || packed="$packed $package"
done

[ -n "$missing$packed" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "system tests need these Debian packages:$missing$packed" >&2
    echo "run as root: sh tests/system/install.sh" >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# The lists of a fresh machine are empty or old; a failure here shows again below.
apt-get update -qq || true

if [ -n "$missing" ]; then
    # No daemon of these packages shall start: the tests run their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # A Postfix that would deliver to this machine only, were it started.
    echo "postfix postfix/main_mailer_type select Local only" | debconf-set-selections
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing
fi

for package in $packed; do
    work="$FOLDER/.$package"
    rm -rf "$work"
    mkdir -p "$work"
    (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$package")
    dpkg-deb -x "$work"/*.deb "$work"
    mv "$work" "$FOLDER/$package"
done
