#!/bin/sh
# SIMULATOR of libfastcommon 1.0.36: an empty library where upstream's lies, because the simulator needs none.
set -e
cd "$(dirname "$0")"
if [ "$1" != install ]; then
    echo 'const char fastcommon_simulator[] = "SIMULATOR";' | "${CC:-cc}" -shared -fPIC -o libfastcommon.so -x c -
else
    mkdir -p "$DESTDIR/usr/lib64"
    cp libfastcommon.so "$DESTDIR/usr/lib64"
fi
