-- A worker's sign of life. ARGV: worker, what it is doing (JSON), then tenant, id, epoch of each held job
-- Returns which of them (1, 2, 3 …) are lost to it.
redis.call('ZADD', PREFIX .. 'workers', now, ARGV[1])
redis.call('HSET', PREFIX .. 'workers:about', ARGV[1], ARGV[2])
local lost = {}
for at = 3, #ARGV, 3 do
  local job = find(ARGV[at], ARGV[at + 1])
  if holds(job, tonumber(ARGV[at + 2])) then
    redis.call('ZADD', LEASES, now + LEASE_MS, job.member)
  else
    table.insert(lost, at / 3)
  end
end
return lost
