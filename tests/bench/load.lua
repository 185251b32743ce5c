-- The same load for wrk: `wrk -s load.lua URL -- HALVES REST LOW MIDDLE`
-- HALVES is a Lua file with the requests, REST the end of every uuid, LOW and MIDDLE its first parts as numbers.

local halves, rest, low, middle
local at = 0

function init(args)
  halves = dofile(args[1])
  rest, low, middle = args[2], tonumber(args[3]), tonumber(args[4])
end

function request()
  at = at % #halves + 1
  low = low + 1000
  if low >= 4294967296 then
    low, middle = low - 4294967296, middle + 1
  end
  return halves[at][1] .. string.format("%08x-%04x-%s", low, middle, rest) .. halves[at][2]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"seconds": %f, "requests": %d, "refused": %d, "broken": %d, "p50": %f, "p99": %f, "p999": %f, "worst": %f}\n',
    summary.duration / 1e6, summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3, latency.max / 1e3))
end
