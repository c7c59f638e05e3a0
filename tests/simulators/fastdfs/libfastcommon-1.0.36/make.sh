#!/bin/sh
# SIMULATOR of libfastcommon 1.0.36: an empty library where upstream's lies, because the simulator needs none.
set -e
cd "$(dirname "$0")"
if [ "$1" != install ]; then
    exec "${CC:-cc}" -shared -fPIC -o libfastcommon.so simulator.c
fi
for directory in lib64 lib; do
    mkdir -p "$DESTDIR/usr/$directory"
    cp libfastcommon.so "$DESTDIR/usr/$directory"
done
