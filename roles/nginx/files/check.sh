# shellcheck shell=sh
# Read by `sh -s USER ACCEPTED FILE... -- STORE...`. Asks nginx about its whole configuration. ACCEPTED is a directory with a copy of each FILE that it took
# last: when it refuses the new ones, those are the FILEs again (none, where there was none). The copies' times are kept: they are older than what nginx has
# loaded. Afterwards the USER that workers run as must be able to look into each STORE that is there.
set -u
user=$1 accepted=$2
shift 2
(umask 077 && mkdir -p "$accepted")
if nginx -t -q; then good=1; else good=; fi
while [ "$1" != -- ]; do
    copy=$accepted/${1##*/}
    if [ "$good" ]; then from=$1 to=$copy; else from=$copy to=$1; fi
    if [ -e "$from" ]; then cp -p "$from" "$to"; else rm -f "$to"; fi
    shift
done
shift
[ "$good" ] || { echo "nginx refused this configuration; the one before is back." >&2; exit 1; }
for each in "$@"; do
    [ ! -e "$each" ] || runuser -u "$user" -- test -r "$each" -a -x "$each" ||
        { echo "The store $each cannot be read by nginx's user $user: name a group that may read it in nginx_image_extra_groups." >&2; exit 1; }
done
