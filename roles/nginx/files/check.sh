# shellcheck shell=sh
# Read by `sh -s USER ACCEPTED FILE... -- STORE...`. Asks nginx about its whole configuration, and whether the USER that its workers run as can look into
# each STORE that is there. ACCEPTED is a directory with a copy of each FILE that was good last: when the new ones are not, those are the FILEs again (none,
# where there was none). The copies' times are kept: they are older than what nginx has loaded.
set -u
user=$1 accepted=$2
shift 2
(umask 077 && mkdir -p "$accepted")
wrong='' stores=''
nginx -t -q || wrong='nginx refused this configuration'
for each in "$@"; do
    if [ "$each" = -- ]; then
        stores=1
    elif [ "$stores" ] && [ -e "$each" ] && ! runuser -u "$user" -- test -r "$each" -a -x "$each"; then
        wrong="nginx's user $user cannot read the store $each (name a group that may in nginx_image_extra_groups)"
    fi
done
while [ "$1" != -- ]; do
    copy=$accepted/${1##*/}
    if [ "$wrong" ]; then from=$copy to=$1; else from=$1 to=$copy; fi
    if [ -e "$from" ]; then cp -p "$from" "$to"; else rm -f "$to"; fi
    shift
done
[ -z "$wrong" ] || { echo "$wrong; the configuration before is back." >&2; exit 1; }
