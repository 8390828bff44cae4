-- A worker begins the turn that it got from the queue. ARGV: tenant, id, epoch, message, worker
-- Returns {job's fields, steps' fields}, or false when the message is out of date (and then removes it).
local job, epoch, message, worker = find(ARGV[1], ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
if holds(job, epoch) and job.message == message then
  -- The same call again, because its answer got lost. Nobody else's job is given away.
  if redis.call('HGET', job.key, 'worker') ~= worker then return false end
elseif not job or job.epoch ~= epoch or job.status ~= 'queued' then
  acknowledge(message)
  return false
else
  job.message = message
  redis.call('HSET', job.key, 'message', message, 'worker', worker)
  move(job, 'take', 'running', {worker = worker})
  begin(job)
end
return {redis.call('HGETALL', job.key), redis.call('HGETALL', job.steps)}
