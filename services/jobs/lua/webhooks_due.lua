-- Ended jobs whose webhooks shall be sent now; nobody else gets them for a lease. ARGV: how many at most, lease in ms
-- Returns {{tenant, id, attempts, the fields of RECORD, the last step's result as a field} …}: all results may be very
-- long.
local rows = {}
for _, member in ipairs(redis.call('ZRANGE', WEBHOOKS, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local job = find(split(member))
  if job and FINAL[job.status] then
    redis.call('ZADD', WEBHOOKS, now + tonumber(ARGV[2]), member)
    local attempts = redis.call('HINCRBY', job.key, 'webhook_attempts', 1)
    local last = #job.plan - 1
    local result = {last .. ':result', get_step(job, 'result', last) or 'null'}
    rows[#rows + 1] = {job.tenant, job.id, attempts, redis.call('HMGET', job.key, unpack(RECORD)), result}
  else
    redis.call('ZREM', WEBHOOKS, member)
  end
end
return rows
