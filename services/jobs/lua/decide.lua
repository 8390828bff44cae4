-- A human's decision on a step. ARGV: tenant, id, user or '', approve | reject | skip, step, by, comment, result,
--   '1' when the caller administers the tenant
-- Returns {'done', status}, {'illegal', status}, {'missing'}, {'forbidden'}, {'no_step'} or {'not_waiting'}.
local job, action, index = see(ARGV[1], ARGV[2], ARGV[3]), ARGV[4], tonumber(ARGV[5])
local by, comment, administers = ARGV[6], ARGV[7], ARGV[9] == '1'
if not job then return {'missing'} end
if index >= #job.plan then return {'no_step'} end
if not allowed(action, job.status) then return {'illegal', job.status} end
local state = get_step(job, 'status', index)
local here = index == job.cursor
local asked = here and step(job)[1] == BREAKPOINT and state == 'in_progress'

local reaches = ARGV[3] == '' or ARGV[3] == job.owner
if not may_decide(job, index, by, administers, reaches) then return {'forbidden'} end
if asked or (here and state == 'unknown_outcome') then
  decide(job, action, action, by, comment, ARGV[8])
elseif action == 'skip' and job.status == 'paused' and here then
  -- Its children are none of its own any more.
  clear_step(job, 'total')
  redis.call('DEL', key_of(job, 'pending'))
  each_live(job, function(child)
    if child.item then cancel_job(child, {by = by, reason = 'its step was skipped'}) end
  end)
  decide(job, action, action, by, comment, 'null')
elseif action == 'skip' and job.status == 'paused' and index > job.cursor and (state or 'pending') == 'pending' then
  local verdict = cjson.encode({decision = action, by = by, comment = comment, at = now})
  set_step(job, {'status', 'skipped', 'result', 'null', 'finished_at', now, 'verdict', verdict}, index)
  emit_step(job, 'step.finished', 'skipped', {by = by, comment = comment}, index)
else
  return {'not_waiting'}
end
return {'done', job.status}
