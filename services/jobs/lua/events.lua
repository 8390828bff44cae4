-- What happened after an event. ARGV: tenant, id, user or '', after, limit
-- Returns {status, traceparent, number of the last event there is, number of the first of these, events} or false.
local job = see(ARGV[1], ARGV[2], ARGV[3])
if not job then return false end
local after, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local facts = redis.call('HMGET', job.key, 'traceparent', 'dropped')
local dropped = tonumber(facts[2] or 0)
local from = math.max(0, after - dropped)
return {job.status, facts[1], dropped + redis.call('LLEN', key_of(job, 'events')), dropped + from + 1,
  redis.call('LRANGE', key_of(job, 'events'), from, from + limit - 1)}
