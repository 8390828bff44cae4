-- Pause, resume, cancel, retry. ARGV: tenant, id, user or '', action, by, step to retry from or ''
-- Returns {'done', status}, {'illegal', status}, {'missing'}, {'no_step'} or {'child', its parent}.
local job, action = find(ARGV[1], ARGV[2], ARGV[3]), ARGV[4]
local data, from = {by = ARGV[5]}, tonumber(ARGV[6])
if not job then return {'missing'} end
if not allowed(action, job.status) then return {'illegal', job.status} end

if action == 'pause' then
  pause_job(job, data)
elseif action == 'resume' then
  resume_job(job, data)
elseif action == 'cancel' then
  cancel_job(job, data)
else
  local final = FINAL[job.status]
  if not final and (from or get_step(job, 'status') ~= 'unknown_outcome') then return {'illegal', job.status} end
  if final and job.item then return {'child', job.parent} end
  if job.status == 'succeeded' and not from then return {'illegal', job.status} end
  if from and (from > job.cursor or from >= #job.plan) then return {'no_step'} end
  data.from_step = from
  retry_job(job, data, from)
end
return {'done', job.status}
