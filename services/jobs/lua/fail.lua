-- An attempt at a step did not succeed. ARGV: tenant, id, epoch, step, retry | failed | unsure, error, delay in ms
-- Returns {'stop', status} or {'lost'}.
local job, epoch, index = find(ARGV[1], ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local kind, reason, delay = ARGV[5], ARGV[6], tonumber(ARGV[7])
if not holds(job, epoch) or job.cursor ~= index then return {'lost'} end
if kind == 'retry' then
  set_step(job, {'status', 'pending', 'error', reason})
  emit_step(job, 'step.retry', 'pending', {error = reason, delay_ms = delay})
  set_wake(job, now + delay)
  move(job, 'fail', job.status == 'pausing' and 'paused' or 'scheduled', {error = reason})
elseif kind == 'unsure' then
  doubt(job, reason)
  move(job, 'fail', job.status == 'pausing' and 'paused' or 'waiting_approval', {error = reason})
else
  fail_step(job, reason, {})
  fail_job(job, 'fail', reason, {error = reason})
end
return {'stop', job.status}
