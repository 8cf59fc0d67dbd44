-- The load: legacy JSON-RPC requests, each with its own id and, for calls, a text that names the id.
-- From the environment: BENCH_METHOD, BENCH_TOOL, BENCH_PREFIX, BENCH_TOKEN, and BENCH_CHECK=1 to look at every answer
-- (which costs wrk CPU, so not while measuring). The last line of output is one JSON object.
local method, tool, prefix = os.getenv("BENCH_METHOD"), os.getenv("BENCH_TOOL"), os.getenv("BENCH_PREFIX")
local token, checking = os.getenv("BENCH_TOKEN"), os.getenv("BENCH_CHECK") == "1"
local FIRST, LAST = 100000, 100255

local requests, at, threads = {}, 0, {}
wrong, sample = 0, ""

function setup(thread) table.insert(threads, thread) end

function init()
  local headers = {
    ["Content-Type"] = "application/json", ["Accept"] = "application/json, text/event-stream", ["MCP-Protocol-Version"] = "2025-06-18",
  }
  if token ~= "" then headers["Authorization"] = "Bearer " .. token end
  for id = FIRST, LAST do
    local params = method == "tools/call" and string.format('{"name":"%s","arguments":{"text":"the text of request %d"}}', tool, id) or "{}"
    local body = string.format('{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}', id, method, params)
    table.insert(requests, wrk.format("POST", nil, headers, body))
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

local function right(status, body)
  local id = tonumber(body:match('"id"%s*:%s*(%d+)'))
  if status ~= 200 or not id or id < FIRST or id > LAST then return false end
  if method == "tools/call" then return body:find('"text"%s*:%s*"the text of request ' .. id .. '"') ~= nil end
  local _, names = body:gsub('"name"%s*:%s*"' .. prefix, "")
  return names == 10
end

if checking then
  function response(status, _, body)
    if right(status, body) then return end
    wrong = wrong + 1
    if sample == "" then sample = status .. " " .. body:sub(1, 200):gsub('[%c"\\]', "'") end
  end
end

function done(summary, latency)
  local wrongs, first = 0, ""
  for _, thread in ipairs(threads) do
    wrongs = wrongs + thread:get("wrong")
    if first == "" then first = thread:get("sample") end
  end
  local e = summary.errors
  print(string.format('{"requests":%d,"seconds":%.6f,"bytes":%d,"p50_ms":%.3f,"p99_ms":%.3f,"non2xx":%d,"broken":%d,"wrong":%d,"sample":"%s"}',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status, e.connect + e.read + e.write + e.timeout, wrongs, first))
end
