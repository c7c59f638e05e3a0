# shellcheck shell=sh
# Read by `sh -s USER ACCEPTED PORTS FILE... -- STORE...`. Asks nginx about its whole configuration, whether the USER that its workers run as can look into
# each STORE that is there, and whether somebody else listens on one of PORTS (joined by commas): nginx would keep its old workers without a word, and would
# not start when the host boots. ACCEPTED is a directory with a copy of each FILE that was good last: when the new ones are not, those are the FILEs again (none,
# where there was none). The copies' times are kept: they are older than what nginx has loaded.
set -u
user=$1 accepted=$2 ports=$3
shift 3
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
for each in $(echo "$ports" | tr , ' '); do
    taken=$(ss -Hltnp "sport = :$each" | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/p' | grep -v '^nginx ' | head -n 1)
    [ -z "$taken" ] || wrong="port $each is taken by $taken"
done
while [ "$1" != -- ]; do
    copy=$accepted/${1##*/}
    if [ "$wrong" ]; then from=$copy to=$1; else from=$1 to=$copy; fi
    if [ -e "$from" ]; then cp -p "$from" "$to"; else rm -f "$to"; fi
    shift
done
[ -z "$wrong" ] || { echo "$wrong; the configuration before is back." >&2; exit 1; }
