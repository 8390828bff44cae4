-- A worker's sign of life. ARGV: worker, what it is doing (JSON), then tenant, id, epoch, message of each held job
-- Returns the message ids that are lost to it.
redis.call('ZADD', prefix .. 'workers', now, ARGV[1])
redis.call('HSET', prefix .. 'workers:about', ARGV[1], ARGV[2])
local lost = {}
for at = 3, #ARGV, 4 do
  if holds(find(ARGV[at], ARGV[at + 1]), tonumber(ARGV[at + 2])) then
    redis.call('XCLAIM', READY, GROUP, CONSUMER, 0, ARGV[at + 3], 'JUSTID')
  else
    table.insert(lost, ARGV[at + 3])
  end
end
return lost
