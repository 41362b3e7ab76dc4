#!/bin/sh
# Runs a command on the emulated machine. All that it mounts and registers ends with it.
# Usage: enter.sh ROOT CPU CPUINFO SHARED COMMAND...
#   ROOT     the machine that make_machine.sh made
#   CPU      a name of QEMU, such as cortex-a72
#   CPUINFO  a file to show as /proc/cpuinfo; empty shows that of this machine
#   SHARED   a folder that the machine sees at the same path
# A new user namespace may have interpreters of its own for other programs since Linux 6.7.
set -eu
if [ "${PRUNNET_ARM_INSIDE:-}" != 1 ]; then
    PRUNNET_ARM_INSIDE=1 exec unshare --user --map-root-user --mount -- "$0" "$@"
fi
unset PRUNNET_ARM_INSIDE
root=$1 cpu=$2 cpuinfo=$3 shared=$4
shift 4
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":qemu-aarch64:M::$magic:$mask:$(command -v qemu-aarch64-static):FOCP" >/proc/sys/fs/binfmt_misc/register
mount --rbind /proc "$root/proc" # but not /sys: ONNX Runtime would not start with the caches of another processor
mount --rbind /dev "$root/dev"
[ -z "$cpuinfo" ] || mount --bind "$cpuinfo" "$root/proc/cpuinfo"
mkdir -p "$root/$shared"
mount --bind "$shared" "$root/$shared"
export QEMU_CPU="$cpu"
exec chroot "$root" /usr/bin/env OMP_NUM_THREADS=1 HOME=/root PATH=/venv/bin:/usr/bin:/bin "$@"
