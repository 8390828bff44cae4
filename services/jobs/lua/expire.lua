-- Deletes ended jobs whose time is over, with all that belongs to them. ARGV: how many at most
local due = redis.call('ZRANGE', ENDED, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do
  local job = find_member(member)
  if job then
    local key = redis.call('HGET', job.key, 'idempotency_key')
    if key ~= '' then redis.call('DEL', prefix .. 'idem:' .. job.tenant .. ':' .. job.owner .. ':' .. key) end
    redis.call('ZREM', prefix .. 'index:' .. job.tenant, job.id)
    redis.call('ZREM', prefix .. 'index:' .. job.tenant .. ':' .. job.owner, job.id)
    redis.call('DEL', job.key, job.steps, job.events)
  end
  redis.call('ZREM', ENDED, member)
end
return #due
