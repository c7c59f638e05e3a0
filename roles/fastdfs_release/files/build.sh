# shellcheck shell=sh
# Compiles a release and writes it to standard output as a gzipped tar archive with one directory, the release's name.
#   build.sh DIRECTORY NAME FLAGS LIBEVENT LIBFASTCOMMON FASTDFS
# DIRECTORY holds manifest.json and the archives (their file names; an empty name leaves that piece out). Run it as an
# unprivileged user in a unit with a /tmp of its own. The log goes to standard error; its last line says what is wrong.
set -eu
export LC_ALL=C
directory=$1 name=$2 flags=$3 libevent=$4 libfastcommon=$5 fastdfs=$6
exec 3>&1 1>&2

work=$(mktemp -d /tmp/fastdfs-build.XXXXXX)
stage=$work/$name
mkdir -p "$stage/usr/lib64" "$stage/usr/include/fastcommon" "$work/bin"
umask 022

die() {
    echo "$1"
    exit 1
}

# Unpacks an archive and enters its one directory.
enter() {
    mkdir "$work/$1.src"
    tar --no-same-owner -C "$work/$1.src" -xzf "$directory/$2" || die "$2 cannot be unpacked."
    cd "$work/$1.src"/* || die "$2 holds more than one directory."
}

# upstream's make files have their own optimisation flags and /usr/include/fastcommon: ours come last and first. The
# library path is relative to the program, so a release runs wherever it stands and the loader's own path stays as it is.
cat >"$work/bin/cc" <<END
#!/bin/sh
exec gcc -I$stage/usr/include/fastcommon -L$stage/usr/lib64 "\$@" $flags -Wl,-rpath,'\$ORIGIN/../lib64'
END
chmod 755 "$work/bin/cc"
export CC="$work/bin/cc" DESTDIR="$stage"

if [ -n "$libevent" ]; then
    (
        enter libevent "$libevent"
        cmake -S . -B build -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="$flags" \
            -DEVENT__LIBRARY_TYPE=SHARED -DEVENT__DISABLE_OPENSSL=ON -DEVENT__DISABLE_TESTS=ON \
            -DEVENT__DISABLE_BENCHMARK=ON -DEVENT__DISABLE_SAMPLES=ON
        make -C build -j "$(nproc)"
        make -C build install
    ) || die "libevent could not be compiled."
    ls "$stage"/usr/lib*/libevent_core*.so >/dev/null || die "libevent was compiled, but its library is not there."
fi

# No -j here: upstream's rules for the libraries do not name the objects that they are linked from.
if [ -n "$libfastcommon" ]; then
    (enter libfastcommon "$libfastcommon" && ./make.sh && ./make.sh install) || die "libfastcommon could not be compiled."
    [ -f "$stage/usr/lib64/libfastcommon.so" ] || die "libfastcommon could not be compiled."
    rm -f "$stage/usr/lib/libfastcommon.so"
fi

# libfastcommon's getFileContentEx took a number of bytes in FastDFS 5.05's days; since then it takes a buffer's size, and
# reads one byte less. The tracker that is asked for its system files then answers EIO, so one that joins it never starts.
mend_system_files() {
    grep -qs 'read(fd, buff, \*size - 1)' "$work"/libfastcommon.src/*/src/shared_func.c || return 0
    sed -i 's/^\tbytes = read_bytes;$/\tbytes = read_bytes + 1;/' tracker/tracker_service.c
    [ "$(grep -c '^.bytes = read_bytes + 1;$' tracker/tracker_service.c)" = 1 ] ||
        die "tracker_service.c is not the one of FastDFS 5.05: its reading of system files cannot be mended."
}

(
    enter fastdfs "$fastdfs"
    mend_system_files
    ./make.sh && ./make.sh install
    # make.sh leaves these out, or installs them only where the machine has no /etc/fdfs.
    for sample in conf/*.conf conf/*.types; do
        [ ! -f "$sample" ] || cp "$sample" "$stage/etc/fdfs/${sample##*/}.sample"
    done
) || die "FastDFS could not be compiled."
rm -rf "$stage/etc/init.d" "$stage/usr/bin/stop.sh" "$stage/usr/bin/restart.sh"

# make.sh succeeds when the compiler fails: only what is there and answers counts.
simulated=false
[ ! -e "$stage/usr/share/fastdfs-simulator" ] || simulated=true
for program in fdfs_trackerd fdfs_storaged fdfs_monitor fdfs_upload_file fdfs_download_file fdfs_delete_file fdfs_file_info \
    fdfs_append_file fdfs_upload_appender fdfs_test fdfs_crc32; do
    file=$stage/usr/bin/$program
    [ -x "$file" ] || die "$program was not built."
    ! ldd "$file" 2>/dev/null | grep 'not found' || die "$program does not find its libraries."
    timeout 20 "$file" </dev/null 2>&1 | grep -qi usage || die "$program was built but does not answer."
done

printf '{\n"simulated": %s,\n"compiler": "%s",\n"release": %s\n}\n' "$simulated" \
    "$(gcc --version 2>/dev/null | head -n 1 || true)" "$(cat "$directory/manifest.json")" >"$stage/RELEASE"
chmod -R u+w,go+rX,go-w "$stage"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work" -cf - "$name" | gzip -n >&3
