# Runs the command in its arguments, ends it when standard input closes, and ends itself with it. The subshell waits on the
# pipe; the server gets neither end of it.
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
trap 'kill -s TERM "$server"' HUP INT TERM
(
    read -r _ <&3
    kill -s TERM "$server"
    left=30
    while [ "$left" -gt 0 ]; do sleep 1; left=$((left - 1)); done
    kill -s KILL "$server"
) 2>/dev/null &
watcher=$!
wait "$server"
status=$?
while kill -s 0 "$server" 2>/dev/null; do
    wait "$server"
    status=$?
done
kill "$watcher"
exit "$status"
