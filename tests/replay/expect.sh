#!/usr/bin/env bash
# expect.sh PASSED PROGRAM FILE: the program must pass exactly so many entries of the file, refuse files that are none, and
# count entries that are none as failed, by name, and go on.
set -u
passed=$1 program=$2 file=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
status=0
# run STATUS LAST_LINE PART_OF_OUTPUT FILE...
run() {
  local expected=$1 last=$2 part=$3 output code
  shift 3
  output=$(timeout 100 "$program" "$@" 2>&1)
  code=$?
  if [ "$code" -ne "$expected" ] || [[ "$(tail -n 1 <<<"$output")" != "$last" ]] || [[ $output != *"$part"* ]]; then
    printf '%s\n' "$output"
    echo "expected status $expected, last line '$last' and '$part' of $*, got $code"
    status=1
  fi
}
# bad PART_OF_OUTPUT TEXT: such a file is refused, with the sentence.
bad() {
  printf '%s' "$2" >"$folder/bad.json"
  run 2 "0 passed, 0 failed" "bad.json$1" "$folder/bad.json"
}
# fails PART_OF_OUTPUT TEXT: so is an entry, named, and the rest goes on.
fails() {
  printf '{"split_index": [{"args": [4, 2], "out": [[0, 2], [2, 4]]}], %s}' "$2" >"$folder/fails.json"
  run 1 "1 passed, 1 failed" "$1" "$folder/fails.json"
}
run 0 "$passed passed, 0 failed" "" "$file"
run 2 "$passed passed, 0 failed" "missing.json: it cannot be read" "$folder/missing.json" "$file"
run 2 "0 passed, 0 failed" ": it cannot be read" "$folder"
bad " is no JSON: " "$(head -c 2000 "$file")"
bad " is no JSON: " ""
bad ": expected an object of sections" '[]'
bad ": expected an object of sections" 'null'
bad ": it has no entry of a section that is checked here" '{"of_no_library": [1]}'
bad ": it has no entry of a section that is checked here" '{"meta": {}}'
bad ": it has no entry of a section that is checked here" '{"randperm": []}'
bad ": the key randperm is twice in one object" '{"randperm": [], "randperm": []}'
fails "FAILED randperm[0]: order: expected" '"randperm": [{"seed": 0, "n": 2, "perm": [1, 0]}]'
fails "FAILED randperm[0]: bad entry: " '"randperm": [{"seed": 0, "n": 2, "perm": "ten"}]'
fails "FAILED randperm: bad entry: " '"randperm": 5'
fails "FAILED randperm[0]: bad entry: n is below 16" \
  '"randperm": [{"seed": 0, "n": 4, "first16": [1], "last16": [1], "sha256_of_comma_joined": "x"}]'
fails "FAILED checkpoint_retention[0]: bad entry: no states" '"checkpoint_retention": [{"max_ckpt_nums": 1,
  "save_order_per_step": [0], "states": [], "resumed_consumed_samples_per_replica": [8]}]'
fails "bad entry: index is no first row and step" \
  '"slice_by_index_along_batch": [{"in": {"a": [1, 2]}, "index": [0, 0], "out": {}}]'
fails "FAILED multi_dataset_sampler[0]: bad entry: data_parallel_size" '"multi_dataset_sampler": [{"args":
  {"dataset_sizes": [3], "sample_per_episode": 2}, "data_parallel_size": 0, "yields": []}]'
fails "FAILED multi_dataset_sampler[0]: bad entry: yields are not those of" '"multi_dataset_sampler": [{"args":
  {"dataset_sizes": [3], "sample_per_episode": 2}, "data_parallel_size": 2, "yields": [[[[0, 1, 0]]]]}]'
fails "FAILED multi_dataset_sampler[0]: nothing was compared" '"multi_dataset_sampler": [{"args":
  {"dataset_sizes": [3], "sample_per_episode": 2}, "data_parallel_size": 1, "yields": [[]]}]'
fails "FAILED regroup_qkv[0]: bad entry: dst_tp" '"regroup_qkv": [{"src_tp": 0, "dst_tp": 4, "heads_total": 4,
  "num_query_groups": 4, "head_dim": 1, "one_d": true, "in_rows": 4, "out_row_ids": []}]'
for parts in 0 -1; do
  printf '{"split_index": [{"args": [3, %s], "out": []}]}' "$parts" >"$folder/parts.json"
  run 1 "0 passed, 1 failed" "FAILED split_index[0]: bad entry: no such parts" "$folder/parts.json"
done
exit $status
