#!/usr/bin/env bash
# Kills runs with SIGKILL at several moments, resumes them, and compares every number that they wrote with a run that was
# never stopped, to the last digit: with all modules on the same ranks, and with the generator on its own, one step ahead.
# Then: where nothing is generated ahead, placements do not change the numbers.
# usage: resume_test.sh PROGRAM
set -eu
program=$1
work=$(mktemp -d)
trap 'status=$?; [ $status -eq 0 ] || tail -n 5 "$work/log"; rm -rf "$work"' EXIT
options=(--episodes 8 --warm-up 20 --reward-steps 5 --prompts 32 --batch 16 --micro-batch 8 --evaluate-every 3 --save-every 2
  --seed 3)

# Times differ; all else must not. They are the last members of a row, but for the date.
strip() { sed 's/"time":[^,]*,//; s/,"seconds.*/}/' "$1"; }
rows() { if [ -e "$1" ]; then wc -l <"$1"; else echo 0; fi; }
status=0
for placement in colocated separate; do
  "$program" "${options[@]}" --placement $placement --out "$work/$placement" >"$work/log" 2>&1
  # What an older run left in the directory must not be taken for this run's.
  stopped=$work/$placement-stopped
  "$program" "${options[@]}" --placement $placement --episodes 2 --seed 4 --out "$stopped" >"$work/log" 2>&1
  rm "$stopped/metrics.jsonl"

  kills=0
  resume=()
  for row in 5 8; do  # behind the first checkpoint, and before the last
    "$program" "${options[@]}" --placement $placement --out "$stopped" ${resume[@]+"${resume[@]}"} >"$work/log" 2>&1 &
    pid=$!
    for _ in $(seq 6000); do
      if [ "$(rows "$stopped/metrics.jsonl")" -ge $row ] || ! kill -0 "$pid" 2>/dev/null; then
        break
      fi
      sleep 0.02
    done
    # Another moment within the episode each time.
    sleep 0.0$((row * 7 % 10))
    kill -9 "$pid" 2>/dev/null && kills=$((kills + 1))
    wait "$pid" 2>/dev/null || true
    resume=(--resume)
  done
  "$program" "${options[@]}" --placement $placement --out "$stopped" --resume >"$work/log" 2>&1
  if ! diff <(strip "$work/$placement/metrics.jsonl") <(strip "$stopped/metrics.jsonl"); then
    echo "$placement: a run that was killed and resumed differs from one that never stopped"
    status=1
  elif [ "$(rows "$work/$placement/metrics.jsonl")" -ne 10 ] || [ "$kills" -eq 0 ]; then
    echo "$placement: the test proved nothing: $(rows "$work/$placement/metrics.jsonl") rows, $kills kills"
    status=1
  else
    echo "$placement: killed $kills times, the same metrics"
  fi
done

"$program" "${options[@]}" --placement separate --ahead 0 --out "$work/on-policy" >"$work/log" 2>&1
if ! diff <(strip "$work/colocated/metrics.jsonl") <(strip "$work/on-policy/metrics.jsonl"); then
  echo "the placement changes the numbers of a run on policy"
  status=1
fi
if diff -q <(strip "$work/colocated/metrics.jsonl") <(strip "$work/separate/metrics.jsonl") >/dev/null; then
  echo "generating ahead changed nothing: it did not happen"
  status=1
fi
exit $status
