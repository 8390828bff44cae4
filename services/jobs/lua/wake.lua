-- Moves on the jobs whose moment has come: a `wait` that is over, a retry that is due. ARGV: how many at most
local due = redis.call('ZRANGE', DELAYED, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do
  local job = find_member(member)
  if not job or job.status ~= 'scheduled' then
    redis.call('ZREM', DELAYED, member)
  else
    if step(job)[1] == WAIT then close(job, 'passed', 'null', {}) else clear_wake(job) end
    advance(job, 'wake', {})
  end
end
return #due
