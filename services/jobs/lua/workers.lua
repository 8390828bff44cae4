-- Who was heard of within the last few leases; forgets the others. ARGV: worker that leaves, or ''
-- Returns {worker, last seen, what it is doing, …}.
local seen, about = PREFIX .. 'workers', PREFIX .. 'workers:about'
local gone = redis.call('ZRANGE', seen, '-inf', now - 3 * LEASE_MS, 'BYSCORE')
table.insert(gone, ARGV[1])
for _, worker in ipairs(gone) do
  redis.call('ZREM', seen, worker)
  redis.call('HDEL', about, worker)
end
local answer, alive = {}, redis.call('ZRANGE', seen, 0, -1, 'WITHSCORES')
for at = 1, #alive, 2 do
  table.insert(answer, alive[at])
  table.insert(answer, alive[at + 1])
  table.insert(answer, redis.call('HGET', about, alive[at]))
end
return answer
