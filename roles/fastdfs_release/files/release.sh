# shellcheck shell=sh
# Read by `sh -s COMMAND NAME …` on a managed host. Everything that is done is one line on standard output;
# a failure is one sentence on standard error.
#   compile NAME FLAGS LIBEVENT LIBFASTCOMMON FASTDFS   build/release.tar.gz from the archives in build/ (file names; empty: left out)
#   pack NAME                                           build/release.tar.gz from the installed release, unless it was just compiled; its sha256
#   unpack NAME                                         NAME.tar.gz becomes releases/NAME
#   activate NAME KEEP [check]                          current, the commands in the PATH, the samples; old releases go
#   absent - - [check]                                  all of it goes
set -eu
export LC_ALL=C
root=/opt/fastdfs
bin=/usr/local/bin
samples=/etc/fdfs
command=$1
name=$2
unit=fastdfs-build.service

die() {
    echo "$1" >&2
    exit 1
}

# Runs a command that changes the host, after saying what will be true; in check mode it only says so.
change() {
    said=$1
    shift
    echo "$said"
    [ "${check:-}" = check ] || "$@"
}

replace_link() {
    ln -sfn "$1" "$2.new"
    mv -T "$2.new" "$2"
}

link() {
    [ "$(readlink "$2" || true)" = "$1" ] || change "$2 -> $1" replace_link "$1" "$2"
}

# True for a symbolic link into what this role manages.
ours() {
    case $(readlink "$1" || true) in "$root"/current/*) true ;; *) false ;; esac
}

# upstream's make.sh goes on after a failure, so the compiler's message is not at the end.
show_failure() {
    {
        grep -E -A 2 ' (fatal )?error: |undefined reference|CMake Error|: No such file|: not found|\*\*\* ' "$1" |
            grep -v -e '^/tmp/[^ ]*/cc -' -e '^mkdir' -e '^--$' | tail -n 20 || true
        tail -n 1 "$1"
    } | awk '!seen[$0]++'
}

# The build ends with its unit: its user, its files and whatever it started are gone with it.
compile() {
    # What an interrupted run left behind would write to the same archive.
    systemctl stop "$unit" 2>/dev/null || true
    rm -f "$root/build/release.tar.gz"
    if ! systemd-run --quiet --wait --collect --unit="$unit" --service-type=exec \
        -p DynamicUser=yes -p PrivateNetwork=yes -p PrivateDevices=yes -p ProtectHome=yes -p CapabilityBoundingSet= \
        -p StandardOutput="truncate:$root/build/release.part" -p StandardError="truncate:$root/build.log" \
        /bin/sh "$root/build/build.sh" "$root/build" "$@"; then
        show_failure "$root/build.log" >&2
        exit 1
    fi
    mv "$root/build/release.part" "$root/build/release.tar.gz"
}

pack() {
    [ -f "$root/build/release.tar.gz" ] ||
        tar --sort=name --owner=0 --group=0 --numeric-owner -C "$root/releases" -czf "$root/build/release.tar.gz" "$name"
    sha256sum <"$root/build/release.tar.gz"
}

unpack() {
    incoming=$root/releases/.incoming
    rm -rf "$incoming"
    mkdir -m 0755 "$incoming"
    tar --no-same-owner -C "$incoming" -xzf "$root/$name.tar.gz" || die "The archive $root/$name.tar.gz cannot be unpacked."
    for program in "$incoming/$name"/usr/bin/fdfs_*; do
        timeout 20 "$program" </dev/null 2>&1 | grep -qi usage ||
            die "$(basename "$program") of $name does not run on this host: $(timeout 20 "$program" </dev/null 2>&1 | tail -n 1)"
    done
    # The age of the directory is the age of the release on this host: old ones go first.
    touch "$incoming/$name"
    mv -T "$incoming/$name" "$root/releases/$name"
    rm -rf "$incoming" "$root/$name.tar.gz"
}

activate() {
    keep=$1
    check=${2:-}
    release=$root/releases/$name
    [ -d "$release" ] || [ "$check" = check ] || die "The release $name is not under $root/releases."
    link "releases/$name" "$root/current"
    for program in "$release"/usr/bin/fdfs_*; do
        target=$bin/${program##*/}
        case $program in */fdfs_trackerd | */fdfs_storaged | *'*') continue ;; esac
        { [ ! -e "$target" ] && [ ! -L "$target" ]; } || ours "$target" ||
            die "$target is there and is not this role's: remove it, so that it cannot be taken for the release's."
        link "$root/current/usr/bin/${program##*/}" "$target"
    done
    [ -d "$samples" ] || change "$samples exists" mkdir -m 0755 "$samples"
    for sample in "$release"/etc/fdfs/*.sample; do
        target=$samples/${sample##*/}
        # A sample that somebody else put there is theirs.
        [ ! -f "$sample" ] || { [ -e "$target" ] && ! ours "$target"; } || link "$root/current/etc/fdfs/${sample##*/}" "$target"
    done
    forget_dead_links
    find "$root/releases" -mindepth 1 -maxdepth 1 -type d ! -name "$name" ! -name '.*' -printf '%T@ %f\n' 2>/dev/null |
        sort -rn | tail -n "+$keep" | while read -r _ old; do
        change "$old is gone" rm -rf "$root/releases/$old"
    done
}

# Links to what the release in use does not have (any more).
forget_dead_links() {
    for target in "$bin"/fdfs_* "$samples"/*.sample; do
        if ours "$target" && [ ! -e "$target" ]; then
            change "$target is gone" rm -f "$target"
        fi
    done
}

absent() {
    check=${2:-}
    for daemon in fdfs-trackerd fdfs-storaged; do
        [ "$check" = check ] || ! systemctl --quiet is-active "$daemon" ||
            die "$daemon.service still runs from $root/current: remove its role's part first."
    done
    for target in "$bin"/fdfs_* "$samples"/*.sample; do
        ! ours "$target" || change "$target is gone" rm -f "$target"
    done
    [ ! -d "$root" ] || change "$root is gone" rm -rf "$root"
}

shift 2
case $command in
compile) compile "$name" "$@" ;;
pack | unpack) "$command" ;;
*) "$command" "$@" ;;
esac
