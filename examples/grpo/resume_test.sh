#!/usr/bin/env bash
# Kills a run with SIGKILL at several moments, resumes it, and compares everything it wrote with a run that was never
# stopped: prompts, rewards, divergences, accuracies, to the last digit.
# usage: resume_test.sh PROGRAM
set -eu
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
options=(--episodes 10 --warm-up 30 --prompts 8 --samples 4 --evaluate-every 4 --seed 3)

"$program" "${options[@]}" --out "$work/whole" >/dev/null
# What an older run left in the directory must not be taken for this run's.
"$program" "${options[@]}" --episodes 12 --seed 4 --out "$work/stopped" >/dev/null

kills=0
resume=()
for episode in 2 5 8; do
  : >"$work/log"
  "$program" "${options[@]}" --out "$work/stopped" ${resume[@]+"${resume[@]}"} >"$work/log" &
  pid=$!
  # Another moment within the episode each time.
  for _ in $(seq 2400); do
    if grep -q "^episode *$episode/" "$work/log" || ! kill -0 "$pid" 2>/dev/null; then
      break
    fi
    sleep 0.05
  done
  sleep 0.0$((episode * 7 % 10))
  kill -9 "$pid" 2>/dev/null && kills=$((kills + 1))
  wait "$pid" 2>/dev/null || true
  resume=(--resume)
done
"$program" "${options[@]}" --out "$work/stopped" --resume >"$work/log"

# Times differ; all else must not. They are the last members of a row.
strip() { sed 's/,"sync_seconds".*/}/' "$1"; }
status=0
diff <(strip "$work/whole/metrics.jsonl") <(strip "$work/stopped/metrics.jsonl") || status=1
diff "$work/whole/prompts.jsonl" "$work/stopped/prompts.jsonl" || status=1
rows=$(wc -l <"$work/whole/prompts.jsonl")
if [ $status -ne 0 ]; then
  echo "a run that was killed and resumed differs from one that never stopped"
elif [ "$rows" -ne 10 ] || [ "$kills" -eq 0 ]; then
  echo "the test proved nothing: $rows episodes, $kills kills"
  status=1
else
  echo "killed $kills times: the same $rows episodes, the same prompts, the same metrics"
fi
exit $status
