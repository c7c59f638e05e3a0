# shellcheck shell=sh
# Read by `sh -s`. Asks trackers (address:port) with the release's own fdfs_monitor, which exits 0 whatever it was told.
#   SECONDS trackers BASE_PATH TRACKER…      prints the trackers that do not answer; succeeds when enough of them do
#   SECONDS active GROUP ADDRESS TRACKER…    prints what each tracker says of this storage; succeeds when all that answer say ACTIVE
# It asks again until that is so or the seconds have passed, by the clock: a silent tracker makes each question long.
set -eu
export LC_ALL=C
# fdfs_monitor looks every address up in the DNS, where a resolver that is away must not decide.
export RES_OPTIONS='timeout:1 attempts:1'
monitor=/opt/fastdfs/current/usr/bin/fdfs_monitor
[ -x "$monitor" ] || {
    echo "$monitor is not there: install a release first (role fastdfs_release)." >&2
    exit 3
}
configuration=$(mktemp)
trap 'rm -f "$configuration"' EXIT

# Prints what one tracker answers; fails when it does not.
ask() {
    printf 'connect_timeout = 3\nnetwork_timeout = 10\ntracker_server = %s\n' "$1" >"$configuration"
    answer=$(timeout 30 "$monitor" "$configuration" list "$2" 2>&1) || return 1
    case $answer in
    *ERROR* | *'rror no'*) return 1 ;;
    *'tracker server is'*) echo "$answer" ;;
    *) return 1 ;;
    esac
}

trackers() {
    base_path=$1
    shift
    answering=0
    for tracker; do
        # No group has this name: the answer is about the tracker only.
        if ask "$tracker" - >/dev/null; then answering=$((answering + 1)); else echo "$tracker"; fi
    done
    # A fresh storage joins every tracker at once; one that has joined before gets along with the trackers that are there.
    if [ -s "$base_path/data/.data_init_flag" ]; then needed=1; else needed=$#; fi
    [ "$answering" -ge "$needed" ]
}

active() {
    group=$1 address=$2
    shift 2
    result=1
    for tracker; do
        own=$address
        [ -n "$own" ] || own=$(ip -4 route get "${tracker%:*}" 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p')
        if ! answer=$(ask "$tracker" "$group"); then
            echo "$tracker does not answer"
            continue
        fi
        # With storage ids, one that has left may have had this address before.
        status=$(echo "$answer" | awk -v own="$own" '$1 == "ip_addr" && $3 == own {said = $NF; if (said == "ACTIVE") exit} END {print said}')
        echo "$tracker says ${status:-nothing of $own}"
        if [ "$status" != ACTIVE ]; then result=2; elif [ "$result" = 1 ]; then result=0; fi
    done
    return "$result"
}

end=$(($(date +%s) + $1))
shift
until said=$("$@"); do
    if [ "$(date +%s)" -ge "$end" ]; then
        echo "$said"
        exit 1
    fi
    sleep 1
done
