#!/bin/sh
# SIMULATOR of FastDFS 5.05, built and installed as upstream's: ./make.sh, then DESTDIR=… ./make.sh install
set -e
cd "$(dirname "$0")"
if [ "$1" != install ]; then
    exec /usr/bin/python3 -m compileall -q -f --invalidation-mode unchecked-hash fdfs_simulator
fi
mkdir -p "$DESTDIR/usr/bin" "$DESTDIR/usr/share" "$DESTDIR/usr/lib/python3" "$DESTDIR/etc/fdfs"
cp -R fdfs_simulator "$DESTDIR/usr/lib/python3"
for name in trackerd storaged upload_file download_file delete_file file_info monitor test crc32 append_file upload_appender; do
    { echo '#!/usr/bin/python3 -B' && cat command.py; } | install -m 755 /dev/stdin "$DESTDIR/usr/bin/fdfs_$name"
done
for name in tracker storage client storage_ids; do
    printf '# SIMULATOR\nbase_path=/home/yuqing/fastdfs\n' >"$DESTDIR/etc/fdfs/$name.conf.sample"
done
echo "FastDFS 5.05 SIMULATOR" >"$DESTDIR/usr/share/fastdfs-simulator"
