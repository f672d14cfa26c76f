#!/usr/bin/env bash
# Runs the program in every format, compares a small report with the one written down, checks keys and values of the
# JSON, and that wrong input gets one line that names it and exit status 2.
# usage: plan_test.sh PROGRAM
set -u
program=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
models=$here/../../benchmarks/models
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
faults=0
checks=0
fault() {
  echo "FAULT: $*"
  faults=$((faults + 1))
}

small=(--model "$models/qwen2.5-0.5b.json" --source tensor=2,pipeline=2 --destination tensor=1,data=2
  --topology "$here/data/hosts_of_4.json")

# Text: the whole report but for what differs from run to run.
"$program" "${small[@]}" --route point_to_point --subset 'model.layers.*.mlp.*' --rank 5 >"$work/text" || fault "text: status $?"
sed 's/^  planning .*/  planning                  (varies)/' "$work/text" >"$work/text.steady"
diff "$here/data/expected.txt" "$work/text.steady" || fault "the report is not data/expected.txt"
checks=$((checks + 1))

# JSON: keys and what must hold. A few pairs of layouts, shared and separate ranks, every route.
value() { sed -n "s/^  \"$1\": \(.*[^,]\),*\$/\1/p" "$work/json"; }
json_case() {
  checks=$((checks + 1))
  "$program" "$@" --format json >"$work/json" 2>"$work/errors" || fault "status $? of: $* $(cat "$work/errors")"
  local key
  for key in bytes_needed bytes_local bytes_moved bytes_minimum bytes_slow_link bytes_slow_link_minimum \
    send_max_over_mean receive_max_over_mean staging_bytes plan_seconds peak_rss_bytes proof fingerprint \
    predicted_seconds link_max_over_mean; do
    [ -n "$(value $key)" ] || fault "no $key: $*"
  done
  [ "$(value proof)" = '"exact cover"' ] || fault "proof $(value proof): $*"
  [ "$(value bytes_moved)" = "$(value bytes_minimum)" ] ||
    fault "moved $(value bytes_moved), minimum $(value bytes_minimum): $*"
  [ "$(($(value bytes_local) + $(value bytes_moved)))" = "$(value bytes_needed)" ] || fault "bytes do not add up: $*"
  [ "$(value bytes_slow_link)" -ge "$(value bytes_slow_link_minimum)" ] || fault "less than the least over slow links: $*"
}
for route in point_to_point broadcast two_stage hierarchical automatic; do
  json_case "${small[@]}" --destination tensor=2,data=2 --route $route
  json_case "${small[@]}" --destination tensor=2,data=2 --route $route --colocated
done
[ "$(value route)" != '"automatic"' ] || fault "the plan's route is not one of those tried"
json_case --model "$models/qwen3-30b-a3b.json" --source fsdp=16 --destination tensor=2,expert=4 --colocated
json_case --model "$models/qwen3-30b-a3b.json" --source tensor=4,expert=4,expert_tensor=1 --destination tensor=8 \
  --source-ranks 16-31 --destination-ranks 0-3,40,41,50,51
[ "$(value source_ranks)" = 16 ] || fault "source_ranks is $(value source_ranks)"
[ "$(value staging_bytes)" = 268435456 ] || fault "staging_bytes is $(value staging_bytes)"
json_case "${small[@]}" --bucket 1MiB --slots 2 --rank 0
[ "$(value staging_bytes)" = 2097152 ] || fault "staging_bytes is $(value staging_bytes)"
json_case --model "$models/kimi-k2.json" --source tensor=8,pipeline=16,expert=4 \
  --destination tensor=8,expert=16,data=4 --topology "$here/data/hosts_of_4.json"

# What must cross slow links does not depend on the route.
for route in point_to_point broadcast two_stage hierarchical automatic; do
  json_case --model "$models/qwen3-30b-a3b.json" --source tensor=2,expert=4 \
    --destination tensor=4,expert=2,expert_tensor=1 --colocated --topology "$here/data/hosts_of_4.json" --route $route
  [ "$(value bytes_slow_link_minimum)" = 0 ] || fault "$route: least over slow links $(value bytes_slow_link_minimum)"
done

# Ties: a parameter lies in the stages of all that are tied to it, however they are tied; apart in the destination it
# is taken under both names.
tied() {
  printf '{"layers": 4, "entries": [{"name": "emb", "shape": [4, 8], "dtype": "f32"},
    {"name": "l.{l}.emb", "shape": [4, 8], "dtype": "f32", "ranges": {"l": [1, 3]}%s},
    {"name": "head", "shape": [4, 8], "dtype": "f32"%s}]}' "$2" "$3" >"$work/$1.json"
}
tied tie ', "tied_to": "emb"' ', "tied_to": "emb"'
tied chain ', "tied_to": "head"' ', "tied_to": "emb"'
tied apart '' ''
tied circle ', "tied_to": "head"' ', "tied_to": "l.1.emb"'
tied nowhere '' ', "tied_to": "emd"'
for ties in tie chain; do
  json_case --model "$work/$ties.json" --source tensor=1 --destination pipeline=4
  [ "$(value bytes_needed)" = 512 ] || fault "$ties: needed $(value bytes_needed)"
  json_case --model "$work/$ties.json" --destination-model "$work/apart.json" --source pipeline=4 --destination tensor=2
  [ "$(value bytes_needed)" = 1024 ] || fault "$ties, apart: needed $(value bytes_needed)"
done

# Stage maps, expert tables and padding of either side.
moe=(--model "$models/qwen3-30b-a3b.json" --source pipeline=4,expert=4 --destination tensor=2,expert=4,pipeline=2)
json_case "${moe[@]}" --source-stages uneven:10,14,14,10 --destination-stages interleaved:3
# Each of four expert ranks has one expert more than its share: 0, 1, 2 and 127, of other ranks.
table=(0 $(seq 127 -1 96) 1 $(seq 95 -1 64) 2 $(seq 63 -1 32) 127 $(seq 31 -1 0))
printf '%s, ' "${table[@]}" | sed 's/^/[/; s/, $/]/' >"$work/table.json"
json_case "${moe[@]}"
plain=$(value bytes_needed)
json_case "${moe[@]}" --destination-experts "$work/table.json"
more=$(($(value bytes_needed) - plain))
[ $more = $((4 * 48 * 3 * 768 * 2048 * 2)) ] || fault "4 redundant experts of 48 layers: $more bytes more"
json_case "${moe[@]}" --source-experts "$work/table.json"
[ "$(value bytes_needed)" = "$plain" ] || fault "redundant experts in the source: needed $(value bytes_needed)"
sed 's/\("name": "model.embed_tokens.weight".*"split": {"tensor": 0}\)/\1, "padded": 152064/' \
  "$models/qwen2.5-0.5b.json" >"$work/padded.json"
grep -q padded "$work/padded.json" || fault "the model has no embedding to pad"
json_case "${small[@]}" --destination tensor=2 --destination-model "$work/padded.json"

# A written plan is read back: the same fingerprint, with and without the model.
checks=$((checks + 2))
"$program" "${small[@]}" --plan-out "$work/plan.json" --format json >"$work/json" || fault "--plan-out: status $?"
print=$(value fingerprint)
"$program" --plan-in "$work/plan.json" --format json >"$work/json" || fault "--plan-in: status $?"
[ "$(value fingerprint)" = "$print" ] || fault "the fingerprint changed on the way through a file"
[ "$(value bytes_minimum)" = null ] || fault "a minimum without placements: $(value bytes_minimum)"
json_case "${small[@]}" --plan-in "$work/plan.json"
"$program" "${small[@]}" --destination tensor=2 --plan-in "$work/plan.json" >"$work/text"
[ $? -eq 1 ] || fault "a plan for other layouts was not found out"
grep -q '^  proof  *[^e]' "$work/text" || fault "a plan for other layouts: $(grep proof "$work/text")"

# Names that differ between the two sides.
sed 's/model\.layers/blocks/; s/gate_proj/w1/' "$models/qwen2.5-0.5b.json" >"$work/renamed.json"
printf '[["model.layers.{l}.mlp.gate_proj.{w}", "blocks.{l}.mlp.w1.{w}"],
  ["model.layers.{l}.{a}.{b}.{c}", "blocks.{l}.{a}.{b}.{c}"], ["model.layers.{l}.{a}.{b}", "blocks.{l}.{a}.{b}"]]' \
  >"$work/names.json"
json_case "${small[@]}" --destination-model "$work/renamed.json" --names "$work/names.json"

# What nobody takes is named; a rule that nothing fits, and braces that do not match, are refused.
checks=$((checks + 1))
"$program" "${small[@]}" --subset '*norm.weight' --format json >"$work/json" || fault "subset: status $?"
grep -q '"model.embed_tokens.weight"' "$work/json" || fault "the report does not name what is left over"
"$program" "${small[@]}" --subset '*norm.weight' >"$work/text"
grep -q 'that no destination takes: model.embed_tokens.weight' "$work/text" || fault "left over: $(cat "$work/text")"

# A name with control characters reaches no terminal.
checks=$((checks + 1))
printf '{"model": "a\\u001b[31mb\\u009bc\\nd", "layers": 0, "entries": [
  {"name": "x\\u0007", "shape": [4], "dtype": "f32"}, {"name": "y\\u001b", "shape": [4], "dtype": "f32"}]}' >"$work/control.json"
"$program" --model "$work/control.json" --source tensor=1 --destination data=2 --subset 'x*' --rank 0 >"$work/text" ||
  fault "control characters: status $?"
grep -qF 'a [31mb  c d' "$work/text" || fault "the model's name: $(head -1 "$work/text")"
[ "$(LC_ALL=C tr -d '\012\040-\176' <"$work/text" | wc -c)" = 0 ] || fault "control characters in the report"

# Very many buckets: a report does not list them.
checks=$((checks + 1))
timeout 20 "$program" --model "$models/qwen3-8b.json" --source tensor=2 --destination tensor=4 --bucket 4096 \
  --format json >"$work/json" || fault "small buckets: status $?"

# Pictures: for few ranks and for many; no number may be missing, nothing may grow with the ranks.
picture() {
  checks=$((checks + 1))
  local format=$1
  shift
  "$program" "$@" --format "$format" >"$work/picture" || fault "$format: status $?"
  ! grep -qE 'nan|inf[^o]' "$work/picture" || fault "$format has numbers that are none: $*"
  grep -q '</svg>' "$work/picture" || fault "$format is cut off: $*"
  [ "$(wc -c <"$work/picture")" -lt 2000000 ] || fault "$format has $(wc -c <"$work/picture") bytes: $*"
  if command -v xmllint >/dev/null 2>&1; then
    sed -n '/<svg/,/<\/svg>/p' "$work/picture" | xmllint --noout - || fault "$format is not XML: $*"
  fi
}
picture svg "${small[@]}"
picture svg "${small[@]}" --destination tensor=2,pipeline=2 --colocated
grep -q 'Nothing moves' "$work/picture" || fault "the picture of an empty plan does not say so"
! grep -q 'all 0 ranks' "$work/picture" || fault "the picture of an empty plan has a timeline"
picture html "${small[@]}" --destination tensor=2,pipeline=2 --colocated
picture html "${small[@]}" --colocated --rank 1
picture svg --model "$models/qwen2.5-0.5b.json" --source tensor=1 --destination tensor=1 --colocated
picture html --model "$models/kimi-k2.json" --source tensor=8,pipeline=16,expert=4 \
  --destination tensor=8,expert=16,data=4 --topology "$here/data/hosts_of_4.json"

# Wrong input: status 2, nothing on standard output, one line that names the thing.
wrong() {
  local words=$1
  shift
  checks=$((checks + 1))
  "$program" "$@" >"$work/out" 2>"$work/errors"
  local status=$?
  [ $status -eq 2 ] || fault "status $status: $*"
  [ ! -s "$work/out" ] || fault "printed a report: $*"
  [ "$(wc -l <"$work/errors")" = 1 ] || fault "$(wc -l <"$work/errors") lines: $*"
  grep -qF -- "$words" "$work/errors" || fault "does not say '$words' but: $(cat "$work/errors")"
}
model=$models/qwen3-30b-a3b.json
wrong '--model is missing'
wrong '--destination is missing' --model "$model" --source tensor=2
wrong 'there is no option --modle' --modle x
wrong 'unexpected argument x' "${small[@]}" x
wrong '--source needs a value' --model "$model" --source
wrong '--source has an unknown axis tensors' --model "$model" --source tensors=2 --destination tensor=2
wrong '--destination has an unknown axis context' --model "$model" --source tensor=2 --destination tensor=2,context=2
wrong '--source needs a size for data' --model "$model" --source tensor=2,data --destination tensor=2
wrong '--source tensor needs a whole number from 1' --model "$model" --source tensor=0 --destination tensor=2
wrong '--source names tensor twice' --model "$model" --source tensor=2,tensor=4 --destination tensor=2
wrong '--source has an empty place' --model "$model" --source tensor=2,,data=2 --destination tensor=2
wrong 'zero and fsdp are two ways of the same axis' --model "$model" --source zero=2,fsdp=2 --destination tensor=2
wrong 'has more than 131072 ranks' --model "$model" --source tensor=1024,data=1024 --destination tensor=2
wrong 'heads cannot be cut for 3 tensor ranks' --model "$model" --source tensor=3 --destination tensor=2
wrong '128 experts cannot be dealt to 3 expert ranks' --model "$model" --source expert=3 --destination tensor=2
wrong 'expert tensor size 3 does not divide' --model "$model" --source tensor=4,expert_tensor=3 --destination tensor=2
wrong 'sync::TwoStage needs a destination tensor size' --model "$model" --source tensor=4 --destination tensor=2 \
  --route two_stage
wrong '--source-ranks has 3 ranks, but its layout tensor=2 needs 2' "${small[@]}" --source tensor=2 --source-ranks 0-2
wrong '--destination-ranks names rank 4 twice' "${small[@]}" --destination-ranks 4,4
wrong 'contradict each other' "${small[@]}" --destination-ranks 4,5 --colocated
wrong '--route knows point_to_point' "${small[@]}" --route fastest
wrong '--format knows text' "${small[@]}" --format pdf
wrong '--bucket needs a size such as 64MiB, got 64mb' "${small[@]}" --bucket 64mb
wrong '--slots needs an even number, got 3' "${small[@]}" --slots 3
wrong 'buckets of 256 bytes are too small: rank 0 would have 31995060 of them' --model "$models/qwen3-8b.json" \
  --source tensor=2 --destination tensor=4 --bucket 256 --rank 2
wrong '--rank 6: the world has 6 ranks' "${small[@]}" --rank 6
wrong '--subset lm_heads matches no parameter' "${small[@]}" --subset lm_heads
wrong 'model file /nowhere/m.json cannot be opened' --model /nowhere/m.json --source tensor=2 --destination tensor=2
file_case() {
  local words=$1 content=$2
  shift 2
  printf '%b' "$content" >"$work/broken.json"
  wrong "$words" "$@" "$work/broken.json"
}
as_model=(--source tensor=2 --destination tensor=2 --model)
file_case 'broken.json is not JSON (line 2, column 3)' '{"layers": 1,\n  ]' "${as_model[@]}"
file_case 'is not JSON: it ends in the middle' "$(head -c 2000 "$model")" "${as_model[@]}"
file_case 'needs a whole number "layers"' '{}' "${as_model[@]}"
file_case 'lists no parameters' '{"layers": 1, "entries": []}' "${as_model[@]}"
file_case 'entry 0 (x y): has an unknown dtype f8' '{"layers":1,"entries":[{"name":"x\\ny","dtype":"f8"}]}' "${as_model[@]}"
file_case 'parameter x is listed twice' \
  '{"layers":2,"entries":[{"name":"x","dtype":"f32","shape":[4],"ranges":{"l":[0,2]}}]}' "${as_model[@]}"
wrong 'head is tied to l.1.emb and that, in a circle, to it' --model "$work/circle.json" --source data=2 --destination data=2
wrong 'head is tied to emd, which the model does not list' --model "$work/nowhere.json" --source data=2 --destination data=2
wrong 'model file /tmp cannot be read' "${as_model[@]}" /tmp
wrong 'topology file /tmp cannot be read' "${small[@]}" --topology /tmp
file_case 'x{l}): names {l} but gives no range of l' '{"layers":2,"entries":[{"name":"x{l}","dtype":"f32","shape":[4]}]}' \
  "${as_model[@]}"
file_case 'has the key "layers" twice' '{"layers":2,"layers":1,"entries":[]}' "${as_model[@]}"
file_case 'has an unknown key "splitt"; the nearest known one is "split"' \
  '{"layers":0,"entries":[{"name":"x","dtype":"f32","shape":[4],"splitt":{"tensor":0}}]}' "${as_model[@]}"
file_case 'a parameter has at most' '{"layers":0,"entries":[{"name":"x","dtype":"f32","shape":[36028797018963967]}]}' \
  "${as_model[@]}"
wrong '--source-stages needs uneven:N' "${moe[@]}" --source-stages odd:3
wrong '--source-stages needs uneven:N' "${moe[@]}" --source-stages uneven:
wrong '--source-stages uneven gives 47 layers to 4 stages; the model has 48' "${moe[@]}" --source-stages uneven:10,14,13,10
wrong '--destination-stages uneven gives 48 layers to 3 stages' "${moe[@]}" --destination-stages uneven:10,28,10
wrong '--source-stages interleaved cuts 48 layers into 20 chunks' "${moe[@]}" --source-stages interleaved:5
wrong '--source-stages interleaved needs a whole number from 1' "${moe[@]}" --source-stages interleaved:0
wrong '--source-stages map names the stages of 2 layers' "${moe[@]}" --source-stages map:0,1
wrong 'belong to layouts' --plan-in "$work/plan.json" --source-stages map:0,1
as_experts=("${moe[@]}" --destination-experts)
wrong 'expert table /nowhere/e.json cannot be read' "${as_experts[@]}" /nowhere/e.json
file_case 'expected a list of experts' '{}' "${as_experts[@]}"
file_case 'slot 1: expected the number of an expert' '[0, -1]' "${as_experts[@]}"
file_case 'slots cannot be dealt to 4 expert ranks' '[0, 1, 2]' "${as_experts[@]}"
file_case 'slot 3 holds expert 500; the model has 128' '[0, 1, 2, 500]' "${as_experts[@]}"
file_case 'no slot for expert 4' '[0, 1, 2, 3]' "${as_experts[@]}"
file_case 'expert 7 lies in slots 0 and 2 of expert rank 1; a rank may hold an expert once' \
  '[0, 1, 2, 7, 3, 7, 4, 5, 6, 8, 9, 10]' "${as_experts[@]}"
as_topology=("${small[@]}" --topology)
wrong 'topology file /nowhere/t.json cannot be read' "${as_topology[@]}" /nowhere/t.json
file_case 'is not JSON' '{"ranks_per_domain" 8}' "${as_topology[@]}"
file_case 'expected a JSON object' '[8]' "${as_topology[@]}"
file_case 'unknown key ranks_per_host' '{"ranks_per_host": 8}' "${as_topology[@]}"
file_case 'ranks_per_domain needs a whole number' '{"ranks_per_domain": 0}' "${as_topology[@]}"
file_case 'domains needs a list with the domain of each of the 6 ranks' '{"domains": [0, 0, 1]}' "${as_topology[@]}"
file_case 'slow_gb_per_second needs a number' '{"slow_gb_per_second": -1}' "${as_topology[@]}"
file_case 'give one of them' '{"ranks_per_domain": 2, "domains": [0,0,0,1,1,1]}' "${as_topology[@]}"
as_names=("${small[@]}" --names)
wrong 'name file /nowhere/n.json cannot be read' "${as_names[@]}" /nowhere/n.json
file_case 'expected a list of [old, new]' '{}' "${as_names[@]}"
file_case 'rule 1: expected [old, new]' '[["a", "b"], ["c"]]' "${as_names[@]}"
file_case 'name rule zzz -> c: no source parameter has such a name' '[["zzz", "c"]]' "${as_names[@]}"
file_case 'a brace is closed but not opened' '[["x}", "c"]]' "${as_names[@]}"
file_case '{m} does not stand in the old name' '[["a.{l}", "b.{m}"]]' "${as_names[@]}"
file_case 'Without a source: model.norm.weight; source parameters that nobody takes: final.weight' \
  '[["model.norm.weight", "final.weight"]]' "${as_names[@]}"
file_case 'calls both' '[["model.layers.0.input_layernorm.weight", "model.norm.weight"]]' "${as_names[@]}"
wrong 'plan file /nowhere/p.json cannot be read' --plan-in /nowhere/p.json
file_case 'format: is missing' '{}' --plan-in
file_case 'is not JSON: it ends in the middle' "$(head -c 3000 "$work/plan.json")" --plan-in
sed 's/"slots":4/"slots":6/' "$work/plan.json" >"$work/changed.json"
wrong 'the file was changed or damaged' --plan-in "$work/changed.json"
wrong '/nowhere/p.json cannot be written' "${small[@]}" --plan-out /nowhere/p.json

echo "$checks checks, $faults faults"
[ $faults -eq 0 ]
