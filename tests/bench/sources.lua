-- Requests of SOURCES different ones, told apart by a header, in an order that comes round again.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

local count, number = tonumber(os.getenv("SOURCES")), 0

function request()
	number = (number + 48271) % count
	return wrk.format("GET", nil, { ["Host"] = wrk.headers["Host"], ["X-Source"] = "source-" .. number })
end
