-- Takes jobs from workers that were not heard of for a lease. ARGV: cursor, how many messages to look at
-- Returns {cursor to go on from, how many were taken}.
local answer = redis.call('XAUTOCLAIM', READY, GROUP, CONSUMER, LEASE_MS, ARGV[1], 'COUNT', ARGV[2])
for _, entry in ipairs(answer[2]) do
  local fields = {}
  for at = 1, #entry[2], 2 do fields[entry[2][at]] = entry[2][at + 1] end
  local job = find(fields.tenant, fields.job)
  if job and job.epoch == tonumber(fields.epoch) and ALLOWED.lose[job.status] then
    give_up(job, 'lose', 'its worker was lost')
  end
  acknowledge(entry[1])
end
return {answer[1], #answer[2]}
