-- What happened after an event. ARGV: tenant, id, user or '', after, limit
-- Returns {status, traceparent, number of the last event there is, events} or false.
local job = see(ARGV[1], ARGV[2], ARGV[3])
if not job then return false end
local after, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local facts = redis.call('HMGET', job.key, 'seq', 'traceparent')
local first = tonumber(facts[1]) - redis.call('LLEN', job.events) + 1
local from = math.max(0, after + 1 - first)
return {job.status, facts[2], facts[1], redis.call('LRANGE', job.events, from, from + limit - 1)}
