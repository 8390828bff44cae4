-- Takes jobs from workers that were not heard of for a lease. ARGV: how many at most. Returns how many.
local due = redis.call('ZRANGE', LEASES, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do
  local job = find(split(member))
  if job and HELD[job.status] then
    give_up(job, 'lose', 'its worker was lost')
  else
    redis.call('ZREM', LEASES, member)
  end
end
return #due
