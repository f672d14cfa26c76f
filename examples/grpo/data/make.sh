#!/usr/bin/env bash
# Writes the two files of prompts beside this script: every sum and every difference of a number below 100 and a digit
# whose result is not negative. The order does not matter; the sampler shuffles.
set -eu
cd "$(dirname "$0")"
for sign in + -; do
  for first in {0..99}; do
    for second in {0..9}; do
      result=$((first $sign second))
      if [ $result -ge 0 ]; then
        printf '{"prompt": "%d%s%d=", "answer": "%d"}\n' "$first" "$sign" "$second" "$result"
      fi
    done
  done >"$([ "$sign" = + ] && echo addition || echo subtraction).jsonl"
done
