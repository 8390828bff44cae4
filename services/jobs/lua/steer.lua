-- Pause, resume, cancel, retry. ARGV: tenant, id, user or '', action, by
-- Returns {'done', status}, {'illegal', status} or {'missing'}.
local job, action = find(ARGV[1], ARGV[2], ARGV[3]), ARGV[4]
local data = {by = ARGV[5]}
if not job then return {'missing'} end
if not ALLOWED[action][job.status] then return {'illegal', job.status} end

if action == 'pause' then
  move(job, action, job.status == 'running' and 'pausing' or 'paused', data)
elseif action == 'resume' then
  if job.status == 'pausing' then move(job, action, 'running', data) else advance(job, action, data) end
elseif action == 'cancel' then
  cancel_job(job, data)
else
  local failed = job.status == 'failed'
  if not failed and get_step(job, 'status') ~= 'unknown_outcome' then return {'illegal', job.status} end
  set_step(job, {status = 'pending'})
  clear_step(job, 'attempts', 'error', 'verdict', 'started_at', 'finished_at')
  clear_wake(job)
  redis.call('HSET', job.key, 'losses', 0)
  redis.call('HDEL', job.key, 'error')
  if failed then redis.call('HINCRBY', job.key, 'attempt', 1) end
  advance(job, action, data)
end
return {'done', job.status}
