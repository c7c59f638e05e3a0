# shellcheck shell=sh
# Read by `sh -s`, and called before a storage starts. Asks trackers (address:port) with the release's own fdfs_monitor, which exits 0 whatever it was told.
#   SECONDS trackers BASE_PATH GROUP SELF TRACKER…       prints the trackers that do not answer; succeeds when enough of them do; exits 4, and says why, where
#                                                        trackers know a storage that has nothing yet
#   SECONDS start BEAT BASE_PATH GROUP SELF TRACKER…     the same before a first start, which waits until no other storage knows one that had left; BEAT is
#                                                        the seconds between their heart-beats
#   SECONDS active GROUP SELF TRACKER…                   prints what each tracker says of this storage; succeeds when all that answer say ACTIVE
# SELF is the storage's id, else its address, else nothing. It asks again until that is so or the seconds have passed, by the clock: a silent tracker makes each
# question long.
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

# Prints the status of a storage as one tracker knows it, or nothing; fails when that does not answer.
status() {
    tracker=$1 group=$2 self=$3
    [ -n "$self" ] || self=$(ip -4 route get "$(getent ahostsv4 "${tracker%:*}" | sed 's/ .*//; q')" 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p')
    answer=$(ask "$tracker" "$group") || return 1
    # With storage ids, one that has left may have had this address before.
    echo "$answer" | awk -v self="$self" '
        $1 == "id" {own = $3 == self}
        $1 == "ip_addr" && (own || $3 == self) {said = $NF; if (said == "ACTIVE") exit}
        END {print said}'
}

fresh() {
    [ ! -s "$1/data/.data_init_flag" ]
}

# A fresh storage joins every tracker at once; one that has joined before gets along with the trackers that are there.
trackers() {
    base_path=$1 group=$2 self=$3
    shift 3
    answering=0
    for tracker; do
        if ! known=$(status "$tracker" "$group" "$self"); then
            echo "$tracker"
            continue
        fi
        answering=$((answering + 1))
        ! fresh "$base_path" || case $known in
        '') ;;
        DELETED | IP_CHANGED) left=yes ;;
        *)
            # It would get new images only: one tracker has the others send it the old ones, and takes back that order when the other tells it ACTIVE.
            echo "$tracker knows this storage as $known, and it has nothing in $base_path: FastDFS would make it ACTIVE without its images" >&2
            return 4
            ;;
        esac
    done
    if fresh "$base_path"; then needed=$#; else needed=1; fi
    [ "$answering" -ge "$needed" ]
}

start() {
    beat=$1
    shift
    fresh "$1" || return 0
    left=
    trackers "$@" || return
    [ -n "$left" ] || return 0
    # They learn with a heart-beat that it has left, and forget it two and a second later. One that knows it as DELETED tells that to trackers.
    patience=$((3 * beat + 10))
    echo "This storage had left its group. It starts in $patience s, when no other one knows it any more." >&2
    sleep "$patience"
}

active() {
    group=$1 self=$2
    shift 2
    result=1
    for tracker; do
        if ! known=$(status "$tracker" "$group" "$self"); then
            echo "$tracker does not answer"
            continue
        fi
        echo "$tracker says ${known:-nothing of ${self:-this host}}"
        if [ "$known" != ACTIVE ]; then result=2; elif [ "$result" = 1 ]; then result=0; fi
    done
    return "$result"
}

end=$(($(date +%s) + $1))
shift
until said=$("$@"); do
    [ $? != 4 ] || exit 4
    if [ "$(date +%s)" -ge "$end" ]; then
        echo "$said"
        [ "$1" != start ] || echo "Not every tracker has answered, and a first start needs them all." >&2
        exit 1
    fi
    sleep 1
done
