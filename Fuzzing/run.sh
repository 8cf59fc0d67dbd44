#!/bin/sh
# Builds both fuzzers with AddressSanitizer and runs each for so many seconds (60 unless told). Any finding ends it.
set -eu
seconds=${1:-60}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
# A finding is kept where the last line of its report says.
trap 'if ls "$work"/crash-* "$work"/oom-* "$work"/timeout-* >/dev/null 2>&1; then echo "kept: $work"; else rm -rf "$work"; fi' EXIT
mcp=$here/../Sources/MCP
# Swift's own backtracer and AddressSanitizer hang in each other's arms; the sanitizer prints the stack.
export SWIFT_BACKTRACE=enable=no

mkdir "$work/json" "$work/events"
seed() { printf '%s' "$2" >"$work/$1/$(ls "$work/$1" | wc -l)"; }
seed json '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"s__t","arguments":{"q":"\u00e9\ud83d\ude00é","n":[1,-0.5e+3,null]}}}'
seed json '{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":11,"l":12,"m":13}'
seed json '[true,false,null,"\"\\\/\b\f\n\r\t\u0000",0,1e308,-0,0.1,1E-5]'
seed json '{"a":{"a":[{"a":[[[[]]]]}]},"é":1,"\u0065\u0301":2}'
seed json '1797693134862315807e290'
seed events "1event: message
id: 1
data: {\"a\":1}

: keep-alive

data
data:x
data:  y

"
seed events "$(printf '5\357\273\277data: a\r\n\r\ndata: b\r\rdata:c\n\n.')"

cat >"$work/dictionary" <<'WORDS'
"\\u0061"
"\\ud83d\\ude00"
"\"a\":1,"
"1e309"
"e-"
"data: "
"\x0d\x0a"
"\x0a\x0a"
"\xef\xbb\xbf"
WORDS

sources="$mcp/JSON.swift $mcp/JSONParser.swift $mcp/JSONText.swift $mcp/EventStream.swift $here/../Tests/MCPTests/StrictJSON.swift"
for name in json events; do
    # shellcheck disable=SC2086
    (cd "$work" && swiftc -parse-as-library -swift-version 6 -O -sanitize=fuzzer,address -use-ld=lld -package-name mreg -module-name Fuzz \
        $sources "$here/$name.swift" -o "fuzz-$name")
    echo "== $name, $seconds s"
    (cd "$work" && "./fuzz-$name" -max_total_time="$seconds" -max_len=4096 -timeout=10 -dict=dictionary -print_final_stats=1 -verbosity=0 "$name")
done
