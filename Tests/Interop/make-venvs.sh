#!/bin/sh
# Makes the virtual environments of the interoperability suite under DIR (default: .venv at the repository root), and
# unpacks glewlwyd beside them. Does nothing for one whose requirements have not changed since it was made.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
directory=${1:-$here/../../.venv}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

for name in current legacy fastmcp issuers; do
    requirements=$here/requirements-$name.txt
    wanted=$(sha256sum < "$requirements")
    stamp=$directory/$name/requirements.sha256
    if [ "$(cat "$stamp" 2> /dev/null)" = "$wanted" ]; then
        echo "$directory/$name: up to date"
        continue
    fi
    echo "$directory/$name: installing $requirements"
    python3 -m venv --clear "$directory/$name"
    "$directory/$name/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    echo "$wanted" > "$stamp"
done

# Unpacked and not installed: its package wants a database server and starts a service. Of its modules only those that
# are used are kept, for the others want libraries of their own; what the rest needs stands in packages.txt.
glewlwyd=$directory/glewlwyd
if [ -x "$glewlwyd/usr/bin/glewlwyd" ]; then
    echo "$glewlwyd: up to date"
else
    echo "$glewlwyd: unpacking the Debian package"
    rm -rf "$glewlwyd.new" && mkdir "$glewlwyd.new" && cd "$glewlwyd.new"
    download="apt-get download -qq -o APT::Sandbox::User=root glewlwyd glewlwyd-common"
    $download || { apt-get update -qq && $download; }
    for package in ./*.deb; do dpkg-deb --extract "$package" .; done
    find usr/lib/glewlwyd -name '*.so' ! -name libusermoddatabase.so ! -name libclientmoddatabase.so \
        ! -name libschememodpassword.so ! -name libprotocol_oidc.so -delete
    rm -- ./*.deb && rm -rf "$glewlwyd" && mv "$glewlwyd.new" "$glewlwyd"
fi
