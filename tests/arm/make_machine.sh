#!/bin/sh
# Makes an arm64 Debian with Python and the packages of a device, for qemu-aarch64-static. Needs root.
# Usage: make_machine.sh FOLDER PIP
set -eu
folder=$1 pip=$2
here=$(cd "$(dirname "$0")" && pwd)
for tool in debootstrap dpkg qemu-aarch64-static unshare; do
    if ! command -v "$tool" >/dev/null; then
        echo "error: $tool is not installed" >&2
        echo "hint: apt-get install debootstrap qemu-user-static" >&2
        exit 1
    fi
done
rm -rf "$folder"
mkdir -p "$folder/wheels"
debootstrap --foreign --arch=arm64 --variant=minbase \
    --include=python3,python3-venv,ca-certificates,libgomp1,libstdc++6 bookworm "$folder/root" >"$folder/debootstrap.log"
# The second stage would run programs of the machine and make device files. Unpacking is enough.
for package in "$folder"/root/var/cache/apt/archives/*.deb; do
    dpkg -x "$package" "$folder/root"
done
rm -rf "$folder/root/var/cache/apt/archives"
set --
for version in 2_17 2_26 2_27 2_28 2_31 2_34 2_35; do
    set -- "$@" --platform "manylinux_${version}_aarch64"
done
"$pip" download --quiet --only-binary=:all: "$@" --platform manylinux2014_aarch64 --python-version 3.11 \
    --implementation cp --abi cp311 --abi abi3 --abi none --dest "$folder/wheels" '.[onnxruntime,mnn,litert]'
"$pip" wheel --quiet --no-deps --wheel-dir "$folder/wheels" .
folder=$(cd "$folder" && pwd)
there() { "$here/enter.sh" "$folder/root" max "" "$folder/wheels" "$@"; }
there /usr/bin/python3 -m venv /venv
there /venv/bin/pip install --quiet --no-deps "$folder"/wheels/*.whl
there /venv/bin/pip check
