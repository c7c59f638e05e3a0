-- wrk -s requests.lua URL -- FILE [close]: asks for each address of FILE in turn; one JSON line at the end.
local requests, at = {}, 0

function init(args)
    local headers = {}
    if args[2] == "close" then headers["Connection"] = "close" end
    for line in io.lines(args[1]) do
        requests[#requests + 1] = wrk.format("GET", "/" .. line, headers)
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

function done(summary, latency)
    local e = summary.errors
    io.write(string.format('{"requests":%d,"bytes":%d,"seconds":%f,"failed":%d,"p50":%f}\n', summary.requests, summary.bytes,
        summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50) / 1e6))
end
