-- wrk: POSTs for 10,000 users in turn, and how many answers were no 200. PATH, BODY (with %d) and KEY come from outside.
local path, body, key = os.getenv("BENCH_PATH"), os.getenv("BENCH_BODY"), os.getenv("BENCH_KEY")
local headers = {["Content-Type"] = "application/json"}
if key then headers["Authorization"] = "Bearer " .. key end
local user = 0

request = function()
  user = (user + 1) % 10000
  return wrk.format("POST", path, headers, string.format(body, user))
end

done = function(summary, latency, requests)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  print(string.format("RESULT %f %f %f %d", summary.requests / (summary.duration / 1e6),
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, failed))
end
