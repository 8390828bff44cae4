-- Deletes ended jobs whose time is over, with all that belongs to them. ARGV: how many at most. Returns how many.
-- While workers of other settings are at work too, each counts only what its own limits ask for.
if redis.call('SET', PREFIX .. 'recounted', now, 'NX', 'PX', RECOUNT_MS) then recount() end
local due = redis.call('ZRANGE', ENDED, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do
  local job = find(split(member))
  if job then
    local key = redis.call('HGET', job.key, 'idempotency_key')
    if key then redis.call('DEL', PREFIX .. 'idem:' .. job.tenant .. ':' .. job.owner .. ':' .. key) end
    if job.parent then
      redis.call('ZREM', PREFIX .. 'children:' .. job.tenant .. ':' .. job.parent, job.id)
    else
      set_index(job, 'index', false)
    end
    set_index(job, 'dead', false)
    redis.call('ZREM', WEBHOOKS, member)
    redis.call('DEL', job.key, job.steps, key_of(job, 'events'), key_of(job, 'live'), key_of(job, 'pending'),
      key_of(job, 'children'))
  end
  redis.call('ZREM', ENDED, member)
end
return #due
